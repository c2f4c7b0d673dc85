"""Pictures of results, PNG, made from the JSON.  Needs matplotlib: ``pip install -e '.[bench]'``."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.paired import Measured
from bench.report import OURS
from bench.rounds import Sample
from bench.soak import Soak

OURS_COLOUR = "#1f5fa8"
PEER_COLOURS = ("#b0b0b0", "#8c8c8c", "#c9a66b", "#9fb59a", "#c08f8f", "#a79bc0", "#d3c08a")


def draw(results: dict[str, Any], to: Path) -> list[Path]:
    """A picture for each thing measured; their files.  Raises `ImportError` without matplotlib."""
    import matplotlib  # type: ignore[import-not-found, unused-ignore]

    matplotlib.use("Agg")
    to.mkdir(parents=True, exist_ok=True)
    files = []
    for name in OURS:
        for number, found in enumerate(msgspec.convert(results.get(name, []), list[Measured])):
            files.append(_bars(found, to / f"{name}{f'-{number + 1}' if number else ''}.png"))
    if "soak" in results:
        files.append(_lines(msgspec.convert(results["soak"], Soak), to / "soak.png"))
    return files


def _bars(found: Measured, file: Path) -> Path:
    """Rate and p99 by load: a bar for each contender, from the median over rounds."""
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    shapes = list(dict.fromkeys(one.shape for one in found.rounds))
    figure, axes = pyplot.subplots(2, 1, figsize=(max(8, 1.6 * len(shapes)), 8), constrained_layout=True)
    width = 0.85 / max(len(found.contenders), 1)
    peers = iter(PEER_COLOURS * 2)
    for place, name in enumerate(found.contenders):
        ours = name.startswith("Recado")
        colour = OURS_COLOUR if ours else next(peers)
        rates, late = [], []
        for shape in shapes:
            samples = _samples(found, shape, name)
            rates.append(median(s.load.rate for s in samples) if samples else 0.0)
            late.append(median(s.load.p99_us for s in samples) / 1000 if samples else 0.0)
        at = [x + place * width for x in range(len(shapes))]
        label = f"{name} {found.versions[name]}"
        alpha = max(1.0 - 0.3 * place, 0.4) if ours else 1.0
        axes[0].bar(at, rates, width, label=label, color=colour, alpha=alpha)
        axes[1].bar(at, late, width, color=colour, alpha=alpha)
    for ax, title in zip(axes, ("per second (more is better)", "p99, ms (less is better)"), strict=True):
        ax.set_yscale("log")
        ax.set_title(f"{found.what} in {found.directory}: {title}")
        ax.set_xticks([x + 0.42 for x in range(len(shapes))], shapes)
    axes[0].legend(fontsize="small")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file


def _lines(found: Soak, file: Path) -> Path:
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    figure, axes = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True, constrained_layout=True)
    for memory in found.memory:
        axes[0].plot([at / 60 for at, _ in memory.seen], [mib for _, mib in memory.seen], label=memory.name)
    axes[0].set_title("memory, MiB")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(fontsize="small")
    minutes = [(one.at + one.seconds) / 60 for one in found.parts]
    axes[1].plot(minutes, [one.p50_us / 1000 for one in found.parts], color=PEER_COLOURS[0], label="p50")
    axes[1].plot(minutes, [one.p99_us / 1000 for one in found.parts], color=PEER_COLOURS[1], label="p99")
    axes[1].plot(minutes, [one.p999_us / 1000 for one in found.parts], color=OURS_COLOUR, label="p999")
    axes[1].set_title("latency of each part, ms")
    axes[1].legend(fontsize="small")
    axes[1].set_ylim(bottom=0)
    axes[1].set_xlabel("minutes")
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file


def _samples(found: Measured, shape: str, name: str) -> Sequence[Sample]:
    return [s for r in found.rounds if r.shape == shape and (s := r.sample(name)) is not None]
