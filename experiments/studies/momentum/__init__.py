"""Does momentum help beyond the scale of the input? `PLAN.md` says how it is decided, `REPORT.md` what came out."""
