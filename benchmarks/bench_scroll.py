"""Scrolling: a slice step with two heat maps, boxes and the readout, against plain napari showing as many plain layers.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/bench_scroll.py [--slices 48] [--rounds 40] [--write]

A phantom of 6 phases in the Review dock, with the demonstration model's attention and Grad-CAM, ten boxes and the
readout, in a window of 1600 × 1000. Plain napari beside it has, in a window of that size with a dock as wide: the same
image, the two maps as image layers of the same sizes and scales, a Shapes layer with the same boxes, napari's scale bar
as ours has it, and a text that stays; a third window has napari's own text of the slice in its place, which changes
with every step, as our readout does: napari paints once more whenever a text changes. A step is a press of the key
Down; its time runs until a picture begun after it has come on the screen and the window has nothing more to do. The
windows take turns, step by step.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from typing import Any

import results

os.environ.setdefault("NAPARI_ASYNC", "0")
os.environ.setdefault("NAPARI_BREAST_AI_CACHE", "off")

import numpy as np

GOAL = 1.10
OURS, PLAIN, SLICE = "napari-breast-ai", "plain napari", "plain napari with its own text of the slice"


def ours(slices: int) -> tuple[Any, Any]:
    """The window of this project, its model run; and the session."""
    import napari

    from napari_breast_ai.inference import predict
    from napari_breast_ai.models import load_bundle
    from napari_breast_ai.phantom import PhantomSpec, make_phantom
    from napari_breast_ai.viewer.session import get_session

    phantom = make_phantom(PhantomSpec(kind="nme", seed=6, shape=(slices, 256, 256)))
    viewer = napari.Viewer(title="bench scroll")
    viewer.window.resize(1600, 1000)
    session = get_session(viewer, "bench")
    viewer.window.add_plugin_dock_widget("napari-breast-ai", "Review")
    session.show_study(phantom.volume)
    bundle = load_bundle("demo-attention-squeezenet")
    session.set_bundle(bundle)
    session.set_prediction(predict(phantom.volume, bundle))
    session.set_display(gradcam=True)
    assert session.journal is not None
    for box in phantom.truth.boxes[:10]:
        session.journal.add(box)
    return viewer, session


def plain(session: Any, title: str, tells_slice: bool) -> Any:
    """As many plain layers of the same sizes, and a text: one that stays, or napari's own of the slice."""
    import napari
    from napari.components.overlays import TextOverlay
    from qtpy.QtWidgets import QWidget

    viewer = napari.Viewer(title=title)
    viewer.window.resize(1600, 1000)
    dock = QWidget()
    dock.setMinimumWidth(420)
    viewer.window.add_dock_widget(dock, area="right")
    for layer in session.viewer.layers:
        if not layer.visible:
            continue
        common = {
            "scale": layer.scale, "translate": layer.translate, "units": layer.units, "opacity": layer.opacity,
            "axis_labels": layer.axis_labels, "blending": layer.blending,
        }  # fmt: skip
        if layer.as_layer_data_tuple()[2] == "shapes":
            if len(layer.data):
                viewer.add_shapes(list(layer.data), face_color="transparent", edge_color="white", **common)
        else:
            viewer.add_image(
                np.asarray(layer.data), contrast_limits=tuple(layer.contrast_limits), colormap="gray",
                interpolation2d="linear", **common,
            )  # fmt: skip
    if tells_slice:
        viewer.canvas.overlays.current_slice.visible = True
    else:
        viewer.canvas.overlays["text"] = TextOverlay(
            position="top_left", font_size=10, visible=True, color="white", box=False, text="plain napari"
        )
    viewer.canvas.overlays["scale_bar"].visible = session.viewer.canvas.overlays["scale_bar"].visible
    viewer.scene.camera.orientation2d = session.viewer.scene.camera.orientation2d
    viewer.dims.set_point(0, session.viewer.dims.point[0])
    viewer.bind_key("Down", lambda v: v.dims.set_current_step(1, v.dims.current_step[1] + 1), overwrite=True)
    for layer in viewer.layers:
        layer.bind_key("Down", lambda _: viewer.dims.set_current_step(1, viewer.dims.current_step[1] + 1))
    viewer.reset_view()
    return viewer


def measure(slices: int, rounds: int) -> tuple[dict[str, list[float]], int, str]:
    """Seconds of each step by whose it was; how many layers were shown; and what drew them."""
    from hand import Hand
    from qtpy.QtCore import Qt

    viewer, session = ours(slices)
    peers = [plain(session, name, name == SLICE) for name in (PLAIN, SLICE)]
    hands = {OURS: Hand(viewer)} | {one.title: Hand(one) for one in peers}
    for hand in hands.values():
        hand.wait(1.5)
    found: dict[str, list[float]] = {name: [] for name in hands}
    first = session.journal.boxes[0].z
    for number in range(rounds + 2):
        if number % 8 == 0:
            session.go_to(first)
            for peer in peers:
                peer.dims.set_point(1, viewer.dims.point[1])
            for hand in hands.values():
                hand.wait(0.4)
        for name, hand in hands.items():
            dims = hand.viewer.dims
            before = dims.current_step[1]
            _, taken = hand.timed(
                lambda hand=hand: hand.key(Qt.Key.Key_Down),
                lambda dims=dims, before=before: dims.current_step[1] != before,
                name,
            )
            hand.wait(0.1)
            if number > 1:  # the first ones compile shaders
                found[name].append(taken)
    shown = sum(layer.visible for layer in viewer.layers)
    drawn = hands[PLAIN].drawn_by()
    session.shut_down()
    viewer.close()
    for peer in peers:
        peer.close()
    return found, shown, drawn


def main() -> None:
    """Measure, and write if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        # Boxes of a benchmark are nobody's.
        os.environ["XDG_DATA_HOME"] = place
        found, shown, drawn = measure(given.slices, given.rounds)
    middle = {name: statistics.median(values) for name, values in found.items()}
    ratio = middle[OURS] / middle[PLAIN]
    load = " / ".join(f"{one:.1f}" for one in os.getloadavg())
    lines = [
        "## Scrolling",
        "",
        f"A press of Down in the Review dock's window with {shown} layers shown (image, attention, Grad-CAM, boxes) and "
        "the readout, against plain napari with as many plain layers of the same sizes, a scale bar as ours and a text "
        f"that stays; {given.slices} slices of 256 × 256, {len(found[PLAIN])} steps each, in turn.",
        "",
        "| | median ms | 95th percentile |",
        "| --- | ---: | ---: |",
        *(
            f"| {name} | {1000 * middle[name]:.0f} | {1000 * float(np.percentile(values, 95)):.0f} |"
            for name, values in found.items()
        ),
        "",
        f"Ratio of the medians {ratio:.2f}; goal at most {GOAL:.2f}: {'met' if ratio <= GOAL else 'NOT met'}. Against "
        f"plain napari with a text that changes {middle[OURS] / middle[SLICE]:.2f}.",
        "",
        f"Machine: {platform.machine()} {platform.system()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, napari {version('napari')}, drawn by {drawn}; load average {load}.",
    ]
    print("\n".join(lines))
    if given.write:
        results.write("bench_scroll", "\n".join(lines))


if __name__ == "__main__":
    main()
