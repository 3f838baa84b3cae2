"""Find DICOM and NIfTI files and read their headers."""
