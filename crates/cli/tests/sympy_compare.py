#!/usr/bin/env python3
"""Compares derivatives that `eggrad diff` prints with those of SymPy.

    pip install sympy
    cargo build -p eggrad-cli
    python3 crates/cli/tests/sympy_compare.py target/debug/eggrad

Without the path of the command, the derivatives in derivatives.txt beside this file are compared. Each is equal when
SymPy simplifies the difference to 0, or when both have equal values of 30 digits at random points.
"""

import pathlib
import random
import subprocess
import sys

import sympy
from sympy.parsing.sympy_parser import convert_xor, parse_expr, standard_transformations


def where(condition, a, b):
    return sympy.Piecewise((a, condition), (b, True))


def sigmoid(u):
    return 1 / (1 + sympy.exp(-u))


def softplus(u):
    return sympy.log(1 + sympy.exp(u))


FUNCTIONS = {
    "e": sympy.E,
    "abs": sympy.Abs,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "relu": lambda u: where(u > 0, u, 0),
    "where": where,
    "maximum": lambda a, b: where(a > b, a, b),
    "clamp": lambda u, low, high: where(u < low, low, where(u > high, high, u)),
    "elu": lambda u, alpha: where(u > 0, u, alpha * (sympy.exp(u) - 1)),
    "mish": lambda u: u * sympy.tanh(softplus(u)),
    "gelu": lambda u: u * (1 + sympy.erf(u / sympy.sqrt(2))) / 2,
    # `==` in a condition holds nowhere at random points.
    "equal": lambda a, b: sympy.false,
}


def read(text):
    names = {name: sympy.Symbol(name, real=True) for name in ["w", "x", "y", "z", "b", "n", "r"]}
    text = text.replace("x == 0", "equal(x, 0)").replace("x == 1", "equal(x, 1)")
    transformations = standard_transformations + (convert_xor,)
    return parse_expr(text, {**names, **FUNCTIONS}, transformations=transformations)


def equal(a, b, numbers):
    """Whether two formulas have equal values at random points; the largest relative difference."""
    names = sorted(a.free_symbols | b.free_symbols, key=str)
    worst = 0
    for _ in range(20):
        point = {name: sympy.Rational(numbers.randint(-300, 300) or 1, 97) for name in names}
        left, right = (complex(sympy.N(f.subs(point), 30)) for f in (a, b))
        if left.imag or right.imag or left != left:
            point = {name: abs(value) + 1 for name, value in point.items()}
            left, right = (complex(sympy.N(f.subs(point), 30)) for f in (a, b))
        worst = max(worst, abs(left - right) / (1 + abs(left)))
    return worst < 1e-13, worst


def main():
    numbers = random.Random(0)
    rows = pathlib.Path(__file__).with_name("derivatives.txt").read_text().splitlines()
    rows = [[cell.strip() for cell in row.split("|")] for row in rows if row and row[0] != "#"]
    command = sys.argv[1] if len(sys.argv) > 1 else None
    wrong = exact = 0
    for formula, variable, printed in rows:
        if command:
            call = [command, "diff", formula, "--wrt", variable]
            printed = subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
        expected = sympy.diff(read(formula), sympy.Symbol(variable, real=True))
        got = read(printed)
        is_exact = not got.has(sympy.Piecewise) and sympy.simplify(got - expected) == 0
        exact += is_exact
        is_equal, worst = equal(expected, got, numbers)
        if not (is_equal or is_exact):
            wrong += 1
            print(f"d/d{variable} {formula}: {printed}, but SymPy has {expected} ({worst:.1e})")
    print(f"{len(rows)} derivatives, {exact} equal by simplification, {len(rows) - wrong} equal by value")
    sys.exit(1 if wrong else 0)


main()
