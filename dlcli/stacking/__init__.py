"""Networks of one shape that are trained as one: each operation computes all of them."""
