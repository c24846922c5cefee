"""`python -m bench NAME [--json] [--quick | --long]`."""

import argparse
from importlib import import_module

from bench.report import Bench, as_json, as_table

#: Name of each benchmark: a module of this package with `run(quick: bool) -> list[Result]`.
BENCHES = ("compose", "feeds", "send", "serve")


def main() -> None:
    """Run one benchmark and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--quick", action="store_true", help="smaller sizes, for CI; no figures to quote"
    )
    form.add_argument(
        "--long", action="store_true", help="send: measure also what takes many minutes"
    )
    arguments = parser.parse_args()
    module = import_module(f"bench.{arguments.name}")
    if arguments.long and not hasattr(module, "run_long"):
        parser.error(f"{arguments.name} has no long form")
    run: Bench = module.run
    results = module.run_long() if arguments.long else run(arguments.quick)
    write = as_json if arguments.json else as_table
    print(write(arguments.name, results))


if __name__ == "__main__":
    main()
