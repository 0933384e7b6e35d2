"""The promises of `tbptt.protocols` as tests, a class each, that anybody's backend can be put through."""
