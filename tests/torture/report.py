"""What a run of the torture tells: a page for people, a JSON document for programs."""

import json
from pathlib import Path
from typing import Any

EXAMPLES_MAX = 5


def page(result: dict[str, Any]) -> str:
    """The report as text."""
    storm_seconds = result["storm_seconds"]
    lines = [f"torture: seed {result['seed']}, {result['servers']} servers, {storm_seconds:.0f} s of storm"]
    lines += ["", "faults injected"]
    lines += [f"  {count:6}  {kind}" for kind, count in result["faults"].items()]
    lines += [f"  not run: {kind}: {reason}" for kind, reason in result["not_run"].items()]
    lines += _operations(result["summary"])
    lines.append(f"  {result['losses']:6}  disks that lost what they had synced")
    lines += ["", "judged"]
    for kind, count in result["counts"].items():
        lines.append(f"  {count:6}  {kind}")
        lines += [f"            {text}" for text in result["complaints"].get(kind, [])[:EXAMPLES_MAX]]
    equal = result["equal_seconds"]
    told = "never equal" if equal is None else f"equal {equal:.1f} s after the storm"
    lines.append(f"  replicas {told}; recado verify: {result['verify']}")
    if result["control"] is not None:
        lines.append(f"  control: without synced commits a power cut loses {result['control']} messages")
    lines += ["", "passed" if result["passed"] else "FAILED"]
    lines.append(f"again: make torture ARGS='{result['again']}'")
    return "\n".join(lines)


def _operations(told: dict[str, Any]) -> list[str]:
    lines = ["", "operations acknowledged"]
    for level, count in sorted(told["acknowledged"].items()):
        wait = told["latency_seconds"][level]
        median, p99 = f"median {wait['p50'] * 1000:.0f} ms", f"p99 {wait['p99']:.2f} s"
        lines.append(f"  {count:6}  {level}: {median}, {p99}, max {wait['max']:.1f} s")
    unsure = sum(told["outcomes"].values()) - told["outcomes"].get("acknowledged", 0)
    lines.append(f"  {unsure:6}  refused, or without an answer")
    lines.append(f"  {told['repeated']:6}  repeated with the same id")
    lines.append(f"  {told['entries']:6}  entries in each replica")
    lines.append(f"  {told['heard']:6}  messages shown to subscribers")
    lines.append(
        f"  {told['reads']:6}  reads of what was just written, {told['reads_behind']} told as behind"
    )
    lines.append(f"  {told['held_back']:6}  shown too early by a server that was far behind (A13)")
    lines.append(f"  {told['excused_by_lost_disks']:6}  that lost disks were allowed to take")
    return lines


def write(result: dict[str, Any], path: Path) -> None:
    """The JSON document."""
    path.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
