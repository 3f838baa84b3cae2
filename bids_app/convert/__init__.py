"""From DICOM or loose NIfTI to a BIDS dataset."""
