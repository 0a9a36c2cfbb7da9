"""The program of an elementwise kernel, as its plan writes it and the kernel reads it.

Imported by both sides, so it knows neither Numba nor NumPy.
"""

# An operand of the table, int64 words.  Its terms follow: a row's address is ADDRESS + the sum of
# (row // divisor % modulus) * stride over them; a modulus of 0 is none.
ADDRESS, IS_SCALAR, TERMS = range(3)
MOST_TERMS = 3
OPERAND_WORDS = TERMS + 1 + 3 * MOST_TERMS
# An instruction.
OPCODE, TO, A, B, C = range(5)
INSTRUCTION_WORDS = 5

BINARY = ("add", "sub", "mul", "div", "max", "min")
UNARY = (
    *("relu", "sigmoid", "tanh", "exp", "silu", "exactgelu", "tanhgelu"),
    *("sqrt", "neg", "abs", "reciprocal", "copy"),
)
TERNARY = ("clamp", "fma")  # a between b and c; a * b + c
OPCODES = {name: code for code, name in enumerate((*BINARY, *UNARY, *TERNARY))}

RUN = 1024  # bytes of a row that an instruction goes over
SLOTS, REGISTERS = 24, 6
SPLATS_AT = 16 * SLOTS
REGISTERS_AT = SPLATS_AT + 64 * SLOTS
ROW_AT = REGISTERS_AT + RUN * REGISTERS  # a row of the output, if it has no place of its own
FIRST_UNARY, FIRST_TERNARY = len(BINARY), len(BINARY) + len(UNARY)
