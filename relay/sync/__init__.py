"""The watch: what Penpot never tells, Relay finds out."""
