"""Malformed calls, declared: public callables, their valid arguments, and for each argument the values that must be refused.

`junk` has values that fit hardly any argument. `arguments.REFUSED` has, by an argument's name, the junk that is *not* wrong there
and wrong values of its own. `rows.ROWS` has the callables. A new public name needs a row, and each new argument a line.
"""
