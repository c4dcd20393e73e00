"""`jpt-ner bench-serve`: the server under load, in turns with direct calls of the same pipeline.

Server and model are in this process, clients in another on the same machine, where they take some CPU time, too.
"""

import multiprocessing
import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..loading import load_service_pipeline
from ..serving.app import build_app
from ..serving.server import listen, make_server
from ..tables import markdown_table, percent, write_json_and_markdown
from .bench import processor_name
from .load_clients import Answer, ask
from .measuring import Spread, ratios, take_turns
from .texts import bench_types, generate_records

TYPES = 9


def measure(
    model: str | None = None,
    *,
    clients: Sequence[int] = (1, 8, 32),
    texts: int = 96,
    rounds: int = 3,
    threads: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """
    Args:
        model (`str`, *optional*): Folder or Hub id. Defaults to the model of this installation.
        clients (`Sequence[int]`): Numbers of simultaneous clients, each measured in turns of its own.
        texts (`int`, *optional*, defaults to 96): Texts in each turn, different in each round.
        rounds (`int`, *optional*, defaults to 3): Turns of each kind.
        threads (`int`, *optional*): Number of PyTorch's threads.
        device (`str`, *optional*): Defaults to the best available.

    Returns:
        The machine, the throughput of direct calls, and for each number of clients throughput, latencies and errors in the
        answers.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    pipeline = load_service_pipeline(model, device=device)
    types = bench_types(TYPES)
    turns = _turns(texts, rounds)
    direct = [pipeline(turn, entity_types=types) for turn in turns]
    answers: dict[int, list[tuple[int, Answer]]] = {count: [] for count in clients}
    with _served(pipeline) as port, multiprocessing.get_context("spawn").Pool(1) as pool:

        def asked(count: int, number: int) -> float:
            seconds, found = pool.apply(ask, (port, turns[number], types, count))
            answers[count] += [(number, each) for each in found]
            return seconds

        def called(number: int) -> None:
            pipeline(turns[number], entity_types=types)

        pool.apply(ask, (port, turns[0], types, max(clients)))  # warms up
        jobs: dict[str, Any] = {"direct": called}
        jobs |= {str(count): lambda number, count=count: asked(count, number) for count in clients}
        seconds = take_turns(jobs, rounds)
    return {
        "machine": {"device": processor_name(), "torch_threads": torch.get_num_threads(), "torch": torch.__version__},
        "texts_per_turn": texts,
        "rounds": rounds,
        "direct": {"texts_per_second": _rate(seconds["direct"], texts)},
        "clients": {
            str(count): {
                "texts_per_second": _rate(seconds[str(count)], texts),
                "times_direct": ratios(seconds["direct"], seconds[str(count)]).to_dict(),
                **_latencies([each.seconds for _, each in answers[count]]),
                **_wrong(answers[count], turns, direct, types),
            }
            for count in clients
        },
    }


def _turns(texts: int, rounds: int) -> list[list[str]]:
    """Distinct texts: each ends with a number."""
    records = generate_records(texts * rounds)
    numbered = [f"{record.text} Item {number}." for number, record in enumerate(records)]
    return [numbered[first : first + texts] for first in range(0, len(numbered), texts)]


def _rate(seconds: Sequence[float], texts: int) -> dict[str, float]:
    return Spread.of([texts / each for each in seconds]).to_dict()


def _latencies(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
    return {"p50_milliseconds": 1000 * cuts[49], "p95_milliseconds": 1000 * cuts[94]}


def _wrong(
    answers: Sequence[tuple[int, Answer]],
    turns: Sequence[Sequence[str]],
    direct: Sequence[Sequence[list[dict]]],
    types: Mapping[str, str],
) -> dict[str, int]:
    """
    Numbers of answers that failed, that belong to another text (`mixed`: a word that is not at its offsets, or a type that was
    not requested), and whose spans differ from the direct call's (`differ`: other batches round differently).
    """
    counts = {"answers": len(answers), "failed": 0, "mixed": 0, "differ": 0}
    for turn, answer in answers:
        text = turns[turn][answer.number]
        counts["failed"] += answer.status != 200
        counts["mixed"] += any(
            text[each["start"] : each["end"]] != each["word"] or each["entity_group"] not in types
            for each in answer.entities
        )
        counts["differ"] += _spans(answer.entities) != _spans(direct[turn][answer.number])
    return counts


def _spans(entities: Sequence[Mapping[str, Any]]) -> list[tuple]:
    return [(each["start"], each["end"], each["entity_group"]) for each in entities]


@contextmanager
def _served(pipeline: Any) -> Iterator[int]:
    """The port of a server on a thread of this process."""
    with listen("127.0.0.1", 0) as listener:
        server = make_server(build_app(pipeline), log_level="warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def markdown(result: Mapping[str, Any]) -> str:
    """The report. Rates are medians over turns."""
    machine = result["machine"]
    rate = result["direct"]["texts_per_second"]["median"]
    rows: list[list[Any]] = [["direct calls, batches", f"{rate:.1f}", "", "", "", "", "", ""]]
    for count, found in result["clients"].items():
        rows.append(
            [
                f"{count} client{'s' * (count != '1')}",
                f"{found['texts_per_second']['median']:.1f}",
                f"{found['times_direct']['median']:.2f}",
                *(f"{found[f'{each}_milliseconds']:.0f}" for each in ("p50", "p95")),
                found["failed"],
                found["mixed"],
                f"{percent(found['differ'] / found['answers'])} %",
            ]
        )
    head = ["", "texts/s", "× direct", "p50 ms", "p95 ms", "failed", "mixed up", "other spans than direct"]
    about = f"{machine['device']}; PyTorch {machine['torch']}, {machine['torch_threads']} thread(s)"
    turns = f"{result['rounds']} turns of {result['texts_per_turn']} generated texts, {TYPES} types"
    return f"{about}; {turns}.\n\n{markdown_table(head, rows, align_right=True)}\n"


def write(result: Mapping[str, Any], output: str | Path) -> list[Path]:
    """Writes `OUTPUT.json` and `OUTPUT.md`."""
    return write_json_and_markdown(output, result, markdown(result))
