"""Time the library beside its peers: `python -m benchmarks.run --suite NAME`. `suites.py` says what each suite does."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.check import MismatchError
from benchmarks.peers import PEERS, why_absent
from benchmarks.problem import Shape
from benchmarks.results import Results
from benchmarks.settings import INSTRUCTION_SETS, PRECISIONS, Settings, apply, on_gpu
from benchmarks.suites import SUITES, Bench
from experiments.command import OneLineParser, as_typed, whole_number

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a suite, write its results, and return the exit status: 1 after a mismatch, 2 after a wrong command."""
    start = time.perf_counter()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = make_parser()
    options = parser.parse_args(arguments)
    suite = SUITES[options.suite]
    settings = Settings(dict(options.xla_options), options.precision, options.instruction_set, options.torch_denormals)
    refuse_what_does_not_fit(parser, options)
    try:
        apply(settings)
    except ValueError as error:
        parser.error(str(error))
    if suite.needs_gpu and not on_gpu():
        parser.error(f"--suite {options.suite} needs a CUDA GPU that JAX can use (pip install 'jax[cuda13]'); JAX has found none")
    asked_for = [(name, why_absent(name)) for name in options.only]
    for name, reason in asked_for:
        if reason:
            parser.error(f"--only {name}: {reason}")
    command = as_typed("benchmarks.run", arguments)
    results = Results(options.out, options.suite, command, settings, options.repeats or suite.repeats)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        results.save()
    except OSError as error:
        parser.error(f"--out {options.out}: no results can be written there: {error.strerror}")

    def log(text: str) -> None:
        print(f"[{time.perf_counter() - start:4.0f} s] {text}", file=sys.stderr, flush=True)

    bench = Bench(
        settings=settings,
        results=results,
        repeats=options.repeats or suite.repeats,
        log=log,
        shapes=tuple(options.shapes),
        only=tuple(options.only),
        deadline=start + suite.seconds,
    )
    try:
        suite.run(bench)
    except MismatchError as error:
        print(f"error: contestants do not compute the same: {error}. Nothing more is timed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nInterrupted; the cases that ended are in {results.path}", file=sys.stderr)
        return 130
    results.data["complete"] = True
    results.save()
    written = report.write(results.path)
    print(report.markdown(results.data))
    print(f"Wrote {', '.join(map(str, [results.path, *written]))}", file=sys.stderr)
    return 0


def make_parser() -> OneLineParser:
    """The command line."""
    parser = OneLineParser("benchmarks.run", __doc__)
    parser.add_argument("--suite", choices=SUITES, default="quick", help="what is run (default: %(default)s)")
    parser.add_argument("--shapes", type=shape, nargs="+", default=[], metavar="B,T,F,H", help="instead of the suite's own")
    parser.add_argument("--repeats", type=whole_number(1000), help="rounds (default: the suite's own)")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help="where results go (default: benchmarks/results)")
    everyone = f"who takes part: {', '.join(PEERS)}"
    parser.add_argument("--only", choices=PEERS, nargs="+", default=[], metavar="PEER", help=everyone)
    options = "compile options of every JAX contestant"
    parser.add_argument("--xla-options", type=xla_option, nargs="+", default=[], metavar="NAME=VALUE", help=options)
    precision = "of matrix products on a GPU, for all contestants (default: %(default)s)"
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help=precision)
    kernels = "of our native kernels on a CPU (default: the first that the processor has)"
    parser.add_argument("--instruction-set", choices=INSTRUCTION_SETS, help=kernels)
    denormals = "PyTorch computes with denormal numbers on a CPU, as by default, instead of flushing them to zero as XLA does"
    parser.add_argument("--torch-denormals", action="store_true", help=denormals)
    return parser


def refuse_what_does_not_fit(parser: OneLineParser, options: argparse.Namespace) -> None:
    """End with status 2 where options that are right by themselves do not go together."""
    suite = SUITES[options.suite]
    if options.shapes and not suite.shapes:
        parser.error(f"--shapes does not go with --suite {options.suite}, whose shapes are its subject")
    strangers = [name for name in options.only if name not in suite.peers]
    if strangers:
        parser.error(f"--only {strangers[0]}: --suite {options.suite} has {', '.join(suite.peers) or 'one contestant alone'}")


def shape(text: str) -> Shape:
    """`32,200,129,158` as batch, time, features, hidden."""
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) != len(Shape._fields) or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"must be batch,time,features,hidden, such as 32,200,129,158, got {text!r}")
    return Shape(*sizes)


def xla_option(text: str) -> tuple[str, str | bool]:
    """`name=value`; XLA takes numbers and names as text, but not "true" and "false"."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"must be name=value, got {text!r}")
    return name, {"true": True, "false": False}.get(value.lower(), value)


if __name__ == "__main__":
    sys.exit(main())
