"""For those who test: a conformance suite for adapters and schedules, and training compared between engines. Needs pytest."""
