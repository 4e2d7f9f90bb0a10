"""CPU seconds per GiB beside other tools, on one large file and on many small ones."""

from functools import partial
from pathlib import Path

from bench import peers
from bench.builds import ours
from bench.data import Bench, big_file, clear, small_files
from bench.measure import Run, Sample, alternate, spread
from bench.report import Section, mib

HEAD = ("tool", "makes", "CPU s", "CPU s/GiB", "wall s", "peak RSS MiB", "CPU : ptolemy")


def measure(bench: Bench) -> list[Section]:
    """The benchmark."""
    size = bench.size(1 << 30, 128 << 20, 9 << 20)
    large = bench.folder / "large"
    large.mkdir()
    big_file(large / "large.bin", size)
    sections = [against_peers(bench, f"Peers: one file of {mib(size)} MiB", large, 1, size)]
    (large / "large.bin").unlink()
    count = bench.size(20_000, 2_000, 300)
    many = small_files(bench.folder / "many", count)
    sections.append(against_peers(bench, f"Peers: {count} files of 4 KiB", many, count, 4096))
    return sections


def against_peers(bench: Bench, title: str, folder: Path, count: int, each: int) -> Section:
    """Ptolemy and each peer in turn on a folder of `count` files of `each` bytes."""
    size = count * each
    out = bench.staging()
    section = Section(title, HEAD)
    found = list(peers.here(folder, out))
    runs: dict[tuple[str, str], Run] = {("ptolemy", makes): run for makes, run in ours(folder, out).items()}
    runs |= {(peer.name, peer.makes): peer.run for peer in found}
    samples = _alternate(bench, section, runs, out)
    reference = {
        makes: spread(of, "cpu").median for (name, makes), of in samples.items() if name == "ptolemy"
    }
    whole, without = reference["CAR, piece CIDs, sha256"], reference["CAR, piece CIDs"]
    alike = {"root CID": reference["root CID"]} | dict.fromkeys(
        ("CAR", "CAR, no piece CID"), reference["CAR, no piece CID"]
    )
    for (name, makes), of in samples.items():
        like = alike.get(makes, whole if "sha256" in makes else without)
        cpu = spread(of, "cpu")
        section.row(
            name,
            makes,
            cpu.text(2),
            f"{cpu.median / size * (1 << 30):.2f}",
            spread(of, "wall").text(2),
            mib(spread(of, "rss").median),
            f"{cpu.median / like:.2f}",
        )
    same = {
        (peer.name, peer.makes) for peer in found if peer.same_up_to is not None and each <= peer.same_up_to
    }
    same |= {key for key in samples if key[0] == "ptolemy"}
    roots = {
        f"{key[0]} ({key[1]})": str(of[0].value.get("root", "")) for key, of in samples.items() if key in same
    }
    section.same("payload CID", {name: root for name, root in roots.items() if root})
    others = [f"{peer.name} ({peer.makes})" for peer in found if (peer.name, peer.makes) not in same]
    if others:
        section.notes.append(f"Other settings, so root CIDs are not compared: {', '.join(others)}")
    section.notes += peers.absent()
    section.notes.append("Whole processes, start of Python, Node and so on included; the file cache is warm.")
    return section


def _alternate(
    bench: Bench, section: Section, runs: dict[tuple[str, str], Run], out: Path
) -> dict[tuple[str, str], list[Sample]]:
    """`alternate` with an empty output folder; a peer that fails is named and left out."""
    keys = {" ".join(key): key for key in runs}
    working: dict[str, Run] = {}
    for name, key in keys.items():
        clear(out)
        try:
            runs[key]()  # also warms the file cache
            working[name] = runs[key]
        except RuntimeError as error:
            if key[0] == "ptolemy":
                raise
            section.notes.append(f"Failed: {error}")
    samples = alternate(working, bench.repeat, before=partial(clear, out))
    clear(out)
    return {keys[name]: of for name, of in samples.items()}
