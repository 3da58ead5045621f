"""Breast DCE-MRI in napari: volumes from any vendor's DICOM, boxes, models and their explanations.

Research use only; not a medical device. Importing this package loads neither torch nor Qt, napari or pydicom.
"""

__version__ = "0.1.0"
