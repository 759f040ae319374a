"""The table of docs/results.md, written from benchmarks/results/*.json, so that no number there is typed by hand.

python benchmarks/table.py            prints the table
python benchmarks/table.py --write    puts it between the marks of docs/results.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/results.md")
    options = parser.parse_args()
    if options.write:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(table())


def table() -> str:
    """Every kept result as a line of Markdown, and below it the tables of those that have more to show."""
    lines = ["| benchmark | measured | against | goal | met | date | commit |", "|---|---|---|---|---|---|---|"]
    kept = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in results()}
    for name, result in sorted(kept.items()):
        met = "yes" if result["met"] else "no"
        commit = result["commit"].partition("+")[0][:8] + ("+" if "+" in result["commit"] else "")
        lines.append(
            f"| `{name}.py` | {result['value']:g} {result['unit']} | {result['versus']} | {result['goal']:g} | {met} "
            f"| {result['date'][:10]} | {commit} |"
        )
    if "camvid" in kept:
        lines += ["", *camvid_lines(kept["camvid"]["details"])]
    if "camvid_lineup" in kept:
        lines += ["", *lineup_lines(kept["camvid_lineup"]["details"])]
    if "stanford" in kept:
        lines += ["", *stanford_lines(kept["stanford"]["details"])]
    if "unlabelled" in kept:
        lines += ["", "Images without masks, MobileNetV2 DeepLabv3+ from ImageNet weights:", ""]
        lines += way_lines(kept["unlabelled"]["details"]["rows"], "masks alone")
    if "adversarial" in kept:
        lines += ["", "Against an adversary, the same network and steps:", ""]
        lines += way_lines(kept["adversarial"]["details"]["rows"], "without")
    if "crf_rnn" in kept:
        lines += ["", *crf_rnn_lines(kept["crf_rnn"]["details"])]
    if "crf_rnn_speed" in kept:
        lines += ["", *crf_rnn_speed_lines(kept["crf_rnn_speed"]["details"])]
    if "crf_bandwidths" in kept:
        lines += ["", *bandwidth_lines(kept["crf_bandwidths"]["details"])]
    if "inference_speed" in kept:
        lines += ["", *speed_lines(kept["inference_speed"]["details"])]
    if "int8" in kept:
        lines += ["", *int8_lines(kept["int8"]["details"])]
    if "video_speed" in kept:
        lines += ["", *video_lines(kept["video_speed"]["details"])]
    return "\n".join(lines)


def way_lines(rows: dict, plain: str) -> list[str]:
    """mIoU of each way, mean over seeds, and its gain over the plain one with a 95 % interval over seeds.

    Args:
        rows: 'DATA 1/SHARE seed N WAY' → what was measured.
        plain: the way that the others are compared with.
    """
    from label_shares import gains, spread

    over_plain = gains(rows, plain)
    found: dict[tuple[str, str], dict[str, dict]] = {}
    for key, row in rows.items():
        place, _, rest = key.partition(" seed ")
        seed, _, way = rest.partition(" ")
        found.setdefault((place, way), {})[seed] = row
    lines = [
        "| data, share of masks | way | steps | mIoU | class accuracy | gain in mIoU (95 %) |",
        "|---|---|---|---|---|---|",
    ]
    for (place, way), seeds in found.items():
        mean = {name: sum(row[name] for row in seeds.values()) / len(seeds) for name in ("mean_iou", "class_accuracy")}
        gain = ""
        if (place, way) in over_plain:
            over = spread(over_plain[place, way])
            within = (
                f"{over['low']:+.1f} to {over['high']:+.1f}, {over['runs']} seeds" if over["runs"] > 1 else "one seed"
            )
            gain = f"{over['mean']:+.1f} ({within})"
        steps = next(iter(seeds.values()))["steps"]
        lines.append(f"| {place} | {way} | {steps} | {mean['mean_iou']:.1f} | {mean['class_accuracy']:.1f} | {gain} |")
    return lines


def lineup_lines(details: dict) -> list[str]:
    """The networks from scratch, best first, and the published figures of the test split."""
    lines = [
        f"CamVid val, each network from scratch in {details['budget of each']}:",
        "",
        "| network | mIoU | interval over images | pixel accuracy | parameters, M | multiply–adds, G "
        "| training, images/s | prediction, images/s | processor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in details["rows"].items():
        low, high = row["interval of the first seed"]
        alone = f" (without its CRF {row['mean_iou_unrefined']:.1f})" if "mean_iou_unrefined" in row else ""
        lines.append(
            f"| {name}{alone} | {row['mean_iou']:.1f} | {low:.1f} to {high:.1f} | {100 * row['pixel_accuracy']:.1f} "
            f"| {row['parameters'] / 1e6:.2f} | {row['multiply_adds'] / 1e9:.1f} | {row['training_rate']:.2f} "
            f"| {row['prediction_rate']:.2f} | {row['cpu']} |"
        )
    published = [f"| {name} | {value} |" for name, value in details["published_on_test"].items()]
    return [*lines, "", "| published from scratch, **test** split | mIoU |", "|---|---|", *published]


def stanford_lines(details: dict) -> list[str]:
    """Each network over the folds that were run."""
    lines = [
        "Stanford Background, over the folds that were run, pooled:",
        "",
        "| recipe | ImageNet weights | budget | folds | mIoU | interval over images | pixel accuracy | class accuracy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in details["rows"].items():
        low, high = row["interval"]
        start = "no" if row["recipe"]["weights"] == "none" else "yes"
        lines.append(
            f"| {name} | {start} | {row['budget']} | {len(row['folds'])} | {row['mean_iou']:.1f} | {low:.1f} to {high:.1f} "
            f"| {row['pixel_accuracy']:.1f} | {row['class_accuracy']:.1f} |"
        )
    return lines


def crf_rnn_lines(details: dict) -> list[str]:
    """Networks without a CRF and with one, found in three ways."""
    lines = [
        "A CRF behind a network and trained with it, on val:",
        "",
        "| network, budget | scores | CRF | mIoU by seed | gain | trimap IoU, 3 pixels, by seed | gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, told in details["networks"].items():
        for how in told["mIoU"]:
            cells = []
            for measure in ("mIoU", "trimap"):
                gain = told[f"{measure} gains over alone"].get(how)
                cells.append(", ".join(f"{value:.2f}" for value in told[measure][how]))
                cells.append(
                    "" if gain is None else f"{gain['value']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f})"
                )
            lines.append(f"| {name}, {told['budget']} | {told['scores']} | {how} | " + " | ".join(cells) + " |")
    return lines


def _times(ratio: float | None) -> str:
    return "by too little at T = 5 to be measured" if ratio is None else f"{ratio:g} times"


def crf_rnn_speed_lines(details: dict) -> list[str]:
    """Milliseconds of forward and backward, and memory."""
    memory = details["growth of memory in MiB at T iterations"]
    return [
        f"CRF-RNN forward and backward, {details['case']}; memory grows by "
        + ", ".join(f"{value:g} MiB at T = {iterations}" for iterations, value in memory.items())
        + f", {_times(details['memory at T = 10 over T = 5'])}:",
        "",
        "| | milliseconds |",
        "|---|---|",
        *(f"| {name} | {value:g} |" for name, value in details["milliseconds"].items()),
    ]


def bandwidth_lines(details: dict) -> list[str]:
    """How often gradients to bandwidths point the right way."""
    lines = [
        f"Gradients of the CRF to its bilateral bandwidths, {details['cases']} cases of {details['size']} against the exact sum:",
        "",
        "| form | sxy: right sign | median error | srgb: right sign | median error |",
        "|---|---|---|---|---|",
    ]
    for form, told in details["forms"].items():
        cells = [cell for name in ("sxy", "srgb") for cell in (told[name]["right"], f"{told[name]['median error']:g}")]
        lines.append(f"| {form} | " + " | ".join(cells) + " |")
    return lines


def int8_lines(details: dict) -> list[str]:
    """Each network in float32 and in 8-bit integers."""
    lines = [
        f"In 8-bit integers on a CPU, networks trained on CamVid ({details['training']}), val:",
        "",
        "| network | numbers | mIoU | pixel accuracy | MiB | OpenVINO, ms | ONNX Runtime, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in details["rows"].items():
        for precision in ("float32", "int8"):
            times = [f"{row['milliseconds'][f'{precision} {engine}']:.1f}" for engine in ("openvino", "onnxruntime")]
            lines.append(
                f"| {name} | {precision} | {row['mIoU'][precision]:.2f} | {row['pixel accuracy'][precision]:.2f} "
                f"| {row['MiB'][precision]:.1f} | {' | '.join(times)} |"
            )
    return lines


def video_lines(details: dict) -> list[str]:
    """Frames a second and latency of films, by size, engine and what is done beside predicting."""
    lines = [
        f"Video on {details['device']}, {details['model']}, end to end:",
        "",
        "| film | engine | | frames/s | latency, ms | 95 % |",
        "|---|---|---|---|---|---|",
    ]
    for what, told in details.items():
        if not isinstance(told, dict):
            continue
        size, engine, way = what.split()
        latency, late = 1000 * told["latency"], 1000 * told["latency_95"]
        lines.append(
            f"| {size.replace('x', '×')} | {engine} | {way} | {told['frames_a_second']:.1f} | {latency:.0f} | {late:.0f} |"
        )
    return lines


def speed_lines(details: dict) -> list[str]:
    """Frames a second by network and engine."""
    rows = details["rows"]
    engines = list(dict.fromkeys(engine for row in rows.values() for engine in row))
    height, width = details["size"]
    lines = [
        f"Frames a second at {height}×{width} on {details['device']}, {details['threads']} threads:",
        "",
        "| network | " + " | ".join(engines) + " |",
        "|---|" + "---|" * len(engines),
    ]
    for name, row in rows.items():
        cells = [f"{row[e]['frames_a_second']:.2f}" if "frames_a_second" in row.get(e, {}) else "–" for e in engines]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def camvid_lines(details: dict) -> list[str]:
    """Scores of the CamVid run, and the published figures of the test split beside them."""
    scores = details["scores"]
    names, values = scores["names"], [f"{100 * value:.1f}" for value in scores["iou"]]
    return [
        f"CamVid val, {details['training_images']:.0f} crops in {details['training_seconds'] / 60:.1f} minutes: mIoU "
        f"{100 * scores['mean_iou']:.2f} ({details['val_miou_with_flips']:.2f} with horizontal flips averaged), pixel accuracy "
        f"{100 * scores['pixel_accuracy']:.2f}, class accuracy {100 * scores['mean_class_accuracy']:.2f}.",
        "",
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        "| " + " | ".join(values) + " |",
        "",
        "| published, **test** split | mIoU |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in details["published_on_test"].items()),
    ]


def results() -> list[Path]:
    return sorted((ROOT / "benchmarks" / "results").glob("*.json"))


def with_table(page: str) -> str:
    """The page with the table between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    main()
