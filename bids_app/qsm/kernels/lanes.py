"""Sixteen float32 values at once: explicit vectors for kernels that read many arrays.

The compiler vectorises a loop only when it can show that the arrays which it writes overlap no other. For a loop over
twenty fields it cannot, and a loop for each field moves everything through memory again; short rows then spend half of
their time in what is left over after the last full vector. :func:`load`, :func:`store` and arithmetic on what they
move make vectors of any loop. The processor's own width does not matter: the compiler splits them.

In plain Python (``NUMBA_DISABLE_JIT``) the same functions work on numpy arrays of sixteen values.
"""

# mypy: disable-error-code="no-untyped-def"

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, overload, register_model, type_callable

#: Values in a vector.
WIDTH = 16
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)
#: What kernels allow the compiler: fused multiplication and addition, and no sign of zero.
_FLAGS = ("contract", "nsz")


class Lanes(types.Type):
    """Type of sixteen float32 values."""


class Chosen(types.Type):
    """Type of sixteen truth values, which say what :func:`load` and :func:`store` touch."""


LANES, CHOSEN = Lanes("lanes"), Chosen("chosen")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


@register_model(Chosen)
class _ChosenModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _BITS)


def first(count):
    """Return the choice of the first ``count`` values of a vector."""
    return np.arange(WIDTH) < count


def load(array, place):
    """Return sixteen values of a flat array from ``place`` on, which must be part of it."""
    return array[int(place) : int(place) + WIDTH]


def store(array, place, values, chosen):
    """Write the ``chosen`` values (None: all) into a flat array from ``place`` on."""
    for lane in range(WIDTH):
        if chosen is None or chosen[lane]:
            array[int(place) + lane] = values[lane]


def ball_share(squares, radius):
    """Return the factors that bring vectors of these squared norms into the ball of ``radius``."""
    return radius / np.maximum(radius, np.sqrt(squares))


def _splat(builder, scalar):
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), None))


def _pointer(context, builder, kind, array, place):
    base = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(base, [place]), _VECTOR.as_pointer())


def _declared(builder, name, result, arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


_ALIGN = ir.Constant(ir.IntType(32), 4)
_NAMES = f"v{WIDTH}f32"


@intrinsic
def _first(typing, count):
    def code(context, builder, signature, arguments):
        wide = ir.VectorType(ir.IntType(64), WIDTH)
        undefined = ir.Constant(wide, ir.Undefined)
        single = builder.insert_element(undefined, arguments[0], ir.Constant(ir.IntType(32), 0))
        spread = builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), None))
        return builder.icmp_unsigned("<", ir.Constant(wide, list(range(WIDTH))), spread)

    return CHOSEN(types.uint64), code


@intrinsic
def _load(typing, array, place):
    def code(context, builder, signature, arguments):
        values = builder.load(_pointer(context, builder, array, *arguments))
        values.align = 4
        return values

    return LANES(array, types.uint64), code


@intrinsic
def _store(typing, array, place, values, chosen):
    def code(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, *arguments[:2])
        if isinstance(chosen, types.NoneType):
            builder.store(arguments[2], pointer).align = 4
        else:
            name = f"llvm.masked.store.{_NAMES}.p0"
            kinds = [_VECTOR, _VECTOR.as_pointer(), ir.IntType(32), _BITS]
            builder.call(_declared(builder, name, ir.VoidType(), kinds), [arguments[2], pointer, _ALIGN, arguments[3]])
        return context.get_dummy_value()

    return types.void(array, types.uint64, LANES, chosen), code


@intrinsic
def _ball_share(typing, squares, radius):
    def code(context, builder, signature, arguments):
        root = _declared(builder, f"llvm.sqrt.{_NAMES}", _VECTOR, [_VECTOR])
        limit, norms = _splat(builder, arguments[1]), builder.call(root, [arguments[0]])
        larger = builder.select(builder.fcmp_ordered(">", norms, limit), norms, limit)
        return builder.fdiv(limit, larger, flags=_FLAGS)

    return LANES(LANES, types.float32), code


@overload(first)
def _compiled_first(count):
    return lambda count: _first(count)


@overload(load)
def _compiled_load(array, place):
    return lambda array, place: _load(array, place)


@overload(store)
def _compiled_store(array, place, values, chosen):
    return lambda array, place, values, chosen: _store(array, place, values, chosen)


@overload(ball_share)
def _compiled_ball_share(squares, radius):
    return lambda squares, radius: _ball_share(squares, radius)


def _define(symbol, method):
    """Let kernels write ``symbol`` between two vectors, or between a float32 and a vector."""

    @type_callable(symbol)
    def kind(context):
        def typer(left, right):
            pair = {type(left), type(right)}
            return LANES if Lanes in pair and pair <= {Lanes, types.Float} else None

        return typer

    def lower(context, builder, signature, arguments):
        both = [
            value if isinstance(sort, Lanes) else _splat(builder, context.cast(builder, value, sort, types.float32))
            for value, sort in zip(arguments, signature.args, strict=True)
        ]
        return getattr(builder, method)(*both, flags=_FLAGS)

    for sorts in ((Lanes, Lanes), (types.Float, Lanes), (Lanes, types.Float)):
        lower_builtin(symbol, *sorts)(lower)


_METHODS = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
for _symbol, _method in _METHODS.items():
    _define(_symbol, _method)
