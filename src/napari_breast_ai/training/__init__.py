"""Making a model: patient-level splits, supervised attention, fitting, evaluation, and the demo bundles.

Import what is needed from the modules of this room; importing the room itself loads no torch.
"""
