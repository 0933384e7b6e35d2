"""What engines are measured against: the formulas of the field in NumPy, one step at a time, sharing nothing with any engine."""
