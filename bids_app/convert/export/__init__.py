"""Maps as DICOM, in the study of the scans that they were computed from."""
