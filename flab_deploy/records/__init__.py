"""What every stage says: one module per stage, and the only code that knows its JSON.

A record is a frozen dataclass whose fields are the names in the file, with the unit in the name.
The stage fills one in and writes it; the report, comparisons, flows, gates and `--json` read it.
No field has a default, so that a file in which one is missing or misspelt is refused by name.

To add a figure: add the field to the record, raise its `schema_version`, fill it in where the
stage builds the record, and run `python -m flab_deploy.records.schemas`.
"""
