# What NumPy gives for NaN, infinities and zeros: every elementwise op of all numbers of a list, or of all pairs of them.
# In float64, by the formulas that PyTorch documents where NumPy has no such function.
#     python make.py > expected.json
import json, math
import numpy as np

values = np.array([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 1e4])
erf = np.vectorize(math.erf)
cdf = lambda x: 0.5 * (1 + erf(x / math.sqrt(2)))
sigmoid = lambda x: 1 / (1 + np.exp(-x))

unary = {
    'neg': np.negative, 'abs': np.abs, 'sign': np.sign, 'exp': np.exp, 'log': np.log, 'square': np.square, 'sqrt': np.sqrt,
    'rsqrt': lambda x: 1 / np.sqrt(x), 'reciprocal': np.reciprocal, 'tanh': np.tanh, 'sigmoid': sigmoid,
    'relu': lambda x: np.where(x < 0, 0, x), 'erf': erf, 'gelu': lambda x: x * cdf(x),
    'geluDerivative': lambda x: cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    'geluTanh': lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
    'exp2': np.exp2, 'expm1': np.expm1, 'log2': np.log2, 'log1p': np.log1p, 'sin': np.sin, 'cos': np.cos, 'tan': np.tan,
    'asin': np.arcsin, 'acos': np.arccos, 'atan': np.arctan, 'sinh': np.sinh, 'cosh': np.cosh, 'asinh': np.arcsinh,
    'acosh': np.arccosh, 'atanh': np.arctanh, 'floor': np.floor, 'ceil': np.ceil, 'round': np.rint, 'trunc': np.trunc,
    'silu': lambda x: x / (1 + np.exp(-x)), 'siluDerivative': lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
    'softplus': lambda x: np.logaddexp(0, x),
    'isFinite': np.isfinite, 'isInfinite': np.isinf, 'isNaN': np.isnan,
}
binary = {
    'add': np.add, 'sub': np.subtract, 'mul': np.multiply, 'div': np.divide, 'pow': np.power, 'maximum': np.maximum, 'minimum': np.minimum,
    'mod': np.mod, 'atan2': np.arctan2,
    'elu': lambda a, b: np.where(a <= 0, b * np.expm1(a), a), 'prelu': lambda a, b: np.where(a <= 0, b * a, a),
    'equal': np.equal, 'notEqual': np.not_equal, 'less': np.less, 'lessEqual': np.less_equal, 'greater': np.greater,
    'greaterEqual': np.greater_equal,
}

def spelled(number):
    number = float(number)
    if math.isnan(number): return 'NaN'
    if math.isinf(number): return 'Infinity' if number > 0 else '-Infinity'
    return '-0' if number == 0 and math.copysign(1, number) < 0 else int(number) if number == int(number) and abs(number) < 1e15 else number

def line(array):
    return json.dumps([spelled(number) for number in np.ravel(array)])

with np.errstate(all='ignore'):
    parts = [
        f' "numpy": "{np.__version__}",', f' "values": {line(values)},', ' "unary": {',
        ',\n'.join(f'  "{name}": {line(op(values))}' for name, op in unary.items()), ' },', ' "binary": {',
        ',\n'.join(f'  "{name}": {line(op(values[:, None], values[None, :]))}' for name, op in binary.items()), ' }',
    ]
print('{\n' + '\n'.join(parts) + '\n}')
