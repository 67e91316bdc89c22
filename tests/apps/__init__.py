"""Applications with which a defect of a tracer is shown, run by hand."""
