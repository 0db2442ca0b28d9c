"""Reading 5,000 small JPEG files: `decode.py dlcli|pil|torchvision FOLDER`. Prints its times, without imports."""

import json
import os
import sys
import time
from pathlib import Path


def cpu():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


how, folder = sys.argv[1], sys.argv[2]
if how == "dlcli":
    from dlcli.datasets.image_folder import load

    def read():
        return load(folder, parts=False).x
elif how == "pil":
    import numpy as np
    from PIL import Image

    def read():
        return [np.asarray(Image.open(file).convert("RGB")) for file in Path(folder).glob("*/*")]
else:
    from torchvision.io import decode_jpeg, read_file

    def read():
        return [decode_jpeg(read_file(str(file))) for file in Path(folder).glob("*/*")]


before, started = cpu(), time.perf_counter()
images = read()
figures = {"cpu": cpu() - before, "wall": time.perf_counter() - started}
print(len(images), "images")
print(json.dumps(figures))
