"""The first page of a run or study, by rule from its tables: what was found, in words, before any table."""
