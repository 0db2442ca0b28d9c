"""Deferred imports change only the time of an import."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

# A process that has imported `dlcli`, and then torch, as a command would; a fork of it executes a program.
FRESH = """
import json, os, sys, traceback
import dlcli
from dlcli.process import program
program.is_running = True
import torch
for line in sys.stdin:
    code, output = json.loads(line)
    if pid := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        exec(code, {"__name__": "__main__", "sys": sys})
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture(scope="module")
def fresh() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", FRESH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.communicate()


class Run:
    """Executes code in a process that has imported `dlcli` and torch, and returns its output."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self._process, self._output = process, output

    def __call__(self, code: str) -> str:
        assert self._process.stdin and self._process.stdout
        print(json.dumps([textwrap.dedent(code), str(self._output)]), file=self._process.stdin, flush=True)
        status = self._process.stdout.readline().strip()
        written = self._output.read_text().strip()
        assert status == "0", written
        return written


@pytest.fixture
def run(fresh: subprocess.Popen[str], tmp_path: Path) -> Run:
    return Run(fresh, tmp_path / "output")


def test_training_with_lightning_loads_no_compiler_and_no_unused_metric(run: Run) -> None:
    out = run("""
        import torch, pytorch_lightning, torchmetrics
        from torchmetrics import Metric, MetricCollection
        from torchmetrics.classification import BinaryAccuracy
        torch.use_deterministic_algorithms(True)
        layer = torch.nn.Linear(2, 1)
        optimizer = torch.optim.Adam(layer.parameters())
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        from lightning_fabric.wrappers import OptimizedModule
        assert not isinstance(layer, OptimizedModule)
        assert BinaryAccuracy()(torch.ones(3), torch.ones(3)) == 1
        heavy = {"sympy", "triton", "transformers", "torchvision", "scipy", "matplotlib", "torchmetrics.text.bleu",
                 "torch._dynamo.eval_frame"}
        print(sorted(heavy & set(sys.modules)))
        import importlib.util
        if importlib.util.find_spec("torchvision"):
            import torchvision.ops
            assert "torch._dynamo.eval_frame" not in sys.modules
        metric = BinaryAccuracy()
        metric(torch.ones(3), torch.ones(3))
        print(type(metric.plot()[0]).__name__)
        from torch.utils.flop_counter import FlopCounterMode
        with FlopCounterMode(display=False) as counter:
            layer(torch.ones(1, 2))
        print(counter.get_total_flops())
    """)
    assert out.splitlines() == ["[]", "Figure", "4"]


def test_the_compiler_is_loaded_when_something_is_compiled(run: Run) -> None:
    out = run("""
        import torch
        from pytorch_lightning.utilities.compile import OptimizedModule
        torch.use_deterministic_algorithms(True)
        layer = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        optimizer.zero_grad()
        seen = []
        @torch.compiler.disable
        def never_traced(x):
            seen.append(torch.compiler.is_compiling())
            return x
        never_traced(torch.ones(1))
        compiled = torch.compile(layer, backend="eager")
        compiled(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        import torch._dynamo.eval_frame
        import torch._inductor.config
        print(isinstance(compiled, OptimizedModule), isinstance(layer, OptimizedModule))
        print(isinstance(compiled, torch._dynamo.OptimizedModule), torch._inductor.config.deterministic)
        torch.compile(lambda x: never_traced(x + 1) + 1, backend="eager")(torch.ones(1))
        print(seen)
    """)
    assert out.splitlines() == ["True False", "True True", "[False, False]"]


@pytest.mark.parametrize(
    "statement",
    [
        "import torchmetrics.functional.classification.accuracy as m; from torchmetrics.functional import accuracy",
        "from torchmetrics import functional; accuracy = functional.accuracy",
    ],
)
def test_a_function_hides_the_module_of_its_name(statement: str, run: Run) -> None:
    assert run(f"{statement}\nprint(type(accuracy).__name__)") == "function"


def test_scikit_learns_metrics_load_no_optimizer_of_scipy(run: Run) -> None:
    out = run("""
        from sklearn.metrics import auc
        print("scipy.optimize" in sys.modules, auc([0, 1], [0, 1]), "scipy.optimize" in sys.modules)
        import scipy.integrate._ivp, scipy.integrate
        from scipy.integrate import quad
        print(quad(lambda x: x, 0, 2)[0], scipy.integrate.simpson([1, 1, 1]), callable(scipy.integrate._ivp.solve_ivp))
    """)
    assert out.splitlines() == ["False 0.5 True", "2.0 2.0 True"]


def test_jobs_load_no_linear_algebra_and_no_file_formats_of_scipy(run: Run) -> None:
    out = run("""
        from dlcli.executors.template import import_needed
        import_needed()
        unused = {"scipy.linalg._basic", "scipy.sparse.linalg._isolve", "scipy.io"}
        print(sorted(unused & set(sys.modules)))
        import numpy, scipy.sparse
        from scipy.sparse.linalg import LinearOperator, cg
        class Own(LinearOperator):
            pass
        import scipy.linalg.blas, scipy.sparse.linalg
        operator = LinearOperator((2, 2), matvec=lambda x: x)
        assert issubclass(Own, scipy.sparse.linalg.LinearOperator) and isinstance(operator, LinearOperator)
        eye = scipy.sparse.eye_array(2)
        print(scipy.linalg.inv(numpy.eye(2)).sum(), scipy.sparse.linalg.spsolve(eye.tocsc(), numpy.ones(2)).sum())
        from scipy.sparse.csgraph import laplacian
        print(cg(eye, numpy.ones(2))[1], laplacian(numpy.ones((2, 2)))[0, 0], callable(scipy.linalg.blas.dgemm))
    """)
    assert out.splitlines() == ["[]", "2.0 2.0", "0 1.0 True"]


def test_torch_finds_the_bindings_of_cuda_when_it_calls_them(run: Run) -> None:
    pytest.importorskip("cuda.bindings.runtime")
    out = run("""
        import torch.cuda._utils as utils
        print("cuda.bindings" in sys.modules, utils._HAS_CUDA_BINDINGS)
        stand_in = utils._cuda_bindings_runtime
        import cuda.bindings, cuda.bindings.runtime
        print(stand_in.cudaError_t is cuda.bindings.runtime.cudaError_t)
        print(utils._cuda_bindings_version == cuda.bindings.__version__)
    """)
    assert out.splitlines() == ["False True", "True", "True"]


def test_a_module_of_a_deferred_package_can_be_imported_first(run: Run) -> None:
    assert run("import scipy.integrate._ivp.ivp as m; print(m.solve_ivp.__name__)") == "solve_ivp"


def test_all_of_a_deferred_package_is_there(run: Run) -> None:
    out = run("""
        import torchmetrics, scipy.stats, sklearn.preprocessing
        from scipy.stats import norm
        assert scipy.stats.distributions.t.ppf(0.5, 3) == norm.ppf(0.5) == scipy.stats.t.ppf(0.5, 3) == 0
        assert not hasattr(scipy.stats, "no_such_name")
        assert not [name for name in torchmetrics.__all__ if not hasattr(torchmetrics, name)]
        assert not [name for name in sklearn.preprocessing.__all__ if not hasattr(sklearn.preprocessing, name)]
        assert not hasattr(torchmetrics, "no_such_name") and not hasattr(sklearn.preprocessing, "no_such_name")
        assert sklearn.preprocessing.StandardScaler.__module__ == "sklearn.preprocessing._data"
        print(torchmetrics.__version__ >= "1", callable(torchmetrics.classification.BinaryAccuracy().plot))
    """)
    assert out == "True True"


def test_libraries_that_probe_every_module_load_none(run: Run) -> None:
    """Such as pickle, which looks for the module of a function that does not name it."""
    out = run("""
        import pickle, torch, torchmetrics, torch._dynamo
        def no_such_name(): ...
        no_such_name.__module__ = None
        try:
            pickle.dumps(no_such_name)
        except pickle.PicklingError:
            pass
        print(sorted({"transformers", "sympy"} & set(sys.modules)))
    """)
    assert out == "[]"


def test_torch_notes_where_an_operator_is_defined(run: Run) -> None:
    out = run("""
        import inspect
        import torch._library.utils as utils
        from dlcli.process import quick_imports
        def caller(level):
            return utils.get_source(level)
        expected = f"{caller.__code__.co_filename}:{caller.__code__.co_firstlineno + 1}"
        assert inspect.getsource(utils)
        print(utils.get_source is quick_imports.get_source, caller(1) == expected, caller(2) != expected)
    """)
    assert out == "True True True"


def test_torch_knows_the_module_of_a_kernel(run: Run) -> None:
    out = run(
        """
        import inspect, json, types
        import torch
        ours = torch.library.inspect
        unnamed = eval("sys._getframe()", {"sys": sys})  # code of no module
        first = types.ModuleType("first")
        sys.modules["first"] = first
        exec("import sys\\ndef frame(): return sys._getframe()", vars(first))
        print(
            ours.getmodule(first.frame()) is first,
            ours.getmodule(unnamed) is inspect.getmodule(unnamed),
            ours.getmodule(json.loads) is json,
            ours.signature is inspect.signature,
        )
    """.replace("import inspect", "import json, inspect")
    )
    assert out == "True True True True"


@pytest.mark.parametrize("is_program", [True, False])
def test_only_notebooks_describe_the_settings_of_artists(is_program: bool, run: Run) -> None:
    out = run(f"""
        import inspect
        from dlcli.process import program
        program.is_running = {is_program}
        from matplotlib.figure import Figure
        figure = Figure()
        line, = figure.add_subplot().plot([0, 1])
        figure.set(figwidth=3)
        line.set(lw=5, color="red")
        described = "figwidth" in inspect.signature(figure.set).parameters
        print(figure.get_figwidth(), line.get_linewidth(), line.get_color(), described)
    """)
    assert out == f"3.0 5.0 red {not is_program}"


def test_a_forest_loads_no_other_models(run: Run) -> None:
    """The importances of a search need a random forest only."""
    out = run("""
        from sklearn.ensemble import RandomForestRegressor
        forest = RandomForestRegressor(2, random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
        others = {"linear_model", "ensemble._gb", "neighbors._base"}
        print(len(forest.estimators_), sorted(others & {name.removeprefix("sklearn.") for name in sys.modules}))
    """)
    assert out == "2 []"


def test_a_deferred_package_can_be_inspected(run: Run) -> None:
    out = run("""
        import importlib, inspect, pkgutil
        import sklearn.preprocessing, torchmetrics
        from sklearn.utils import all_estimators
        assert "StandardScaler" in dir(sklearn.preprocessing)
        some = {"StandardScaler", "SimpleImputer", "GridSearchCV", "RandomForestRegressor", "NearestNeighbors"}
        assert some <= {name for name, _ in all_estimators()}
        assert "Root package info" in inspect.getsource(torchmetrics)
        assert pkgutil.get_data("torchmetrics", "py.typed") is not None
        importlib.reload(sklearn.preprocessing)
        print(sklearn.preprocessing.StandardScaler.__name__)
    """)
    assert out == "StandardScaler"


def test_threads_wait_for_a_module_that_one_of_them_loads(run: Run) -> None:
    out = run("""
        import threading
        import scipy.stats, torch._dynamo
        names, errors, start = [], [], threading.Barrier(4)
        def read():
            start.wait()
            try:
                names.append((scipy.stats.norm.name, torch._dynamo.config.__name__))
            except Exception as error:
                errors.append(repr(error))
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(names), errors)
    """)
    assert out == "4 []"


def test_an_interrupted_load_is_repeated_and_patches_are_kept(run: Run) -> None:
    out = run("""
        import builtins, pickle
        import scipy.stats
        import sklearn.model_selection
        sklearn.model_selection.KFold = "patched"
        sklearn.model_selection.__all__
        stand_in, chi2 = scipy.stats.rankdata, scipy.stats.chi2
        assert pickle.loads(pickle.dumps(stand_in)) is stand_in and stand_in.__module__ == "scipy.stats"
        real = builtins.__import__
        def interrupt(name, *rest):
            if name == "distributions":
                raise KeyboardInterrupt
            return real(name, *rest)
        builtins.__import__ = interrupt
        try:
            scipy.stats.norm
        except KeyboardInterrupt:
            print("interrupted")
        builtins.__import__ = real
        from scipy.stats import norm
        assert callable(sklearn.model_selection.GridSearchCV)
        print(norm.name, stand_in([3, 1]), sklearn.model_selection.KFold)
        assert chi2.ppf(0.5, 3) == chi2(3).median() == scipy.stats.chi2.ppf(0.5, 3)
    """)
    assert out.splitlines() == ["interrupted", "norm [2. 1.] patched"]


def test_a_graph_break_that_was_imported_early_breaks_graphs(run: Run) -> None:
    out = run("""
        import torch
        from torch._dynamo import graph_break
        graphs = []
        def count(graph, inputs):
            graphs.append(graph)
            return graph
        def program(x):
            x = x + 1
            graph_break()
            return x + 1
        graph_break()
        torch.compile(program, backend=count)(torch.ones(1))
        print(len(graphs))
    """)
    assert out == "2"


@pytest.mark.parametrize("create", ["empty(2)", "ones(2).to('meta')", "tril_indices(2, 2, device='meta')"])
def test_the_first_tensor_without_data_loads_its_kernels(create: str, run: Run) -> None:
    before = "device='meta', " if create == "empty(2)" else ""
    run(f"""
    import torch
    assert "torch._refs" not in sys.modules
    with torch.device("meta" if {bool(before)} else "cpu"):
        first = torch.{create}
    assert first.is_meta and "torch._refs" in sys.modules
    layer = torch.nn.TransformerEncoderLayer(8, 2, device="meta")  # uses operators that torch implements in Python only
    assert layer(torch.ones(2, 3, 8, device="meta")).shape == (2, 3, 8)
    assert torch.randperm(3, device="meta").shape == (3,)
    """)


def test_a_module_without_data_loads_kernels_only_on_demand(run: Run) -> None:
    run("""
    import torch
    from dlcli.models.meta_device import on_meta

    with on_meta():
        assert torch.nn.LSTM(3, 4).weight_ih_l0.is_meta
    assert "torch._refs" not in sys.modules
    with on_meta():
        layer = torch.nn.TransformerEncoderLayer(8, 2)
        assert "torch._refs" not in sys.modules
        assert layer(torch.ones(2, 3, 8)).shape == (2, 3, 8)
        assert "torch._refs" in sys.modules
        assert torch.randperm(3).shape == (3,)
    with on_meta():
        assert torch.nn.Linear(1, 1).weight.is_meta
    """)


@pytest.mark.parametrize(
    "program",
    [
        "from torch._decomp import decomposition_table as table; assert torch.ops.aten.addmm.default in table",
        "import torch._prims; assert callable(torch.ops.prims.add)",
        "torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))",
        "from torch._subclasses import FakeTensorMode\n"
        "with FakeTensorMode():\n    assert torch.randperm(3).shape == (3,)",
        "assert torch.distributions.Normal(0.0, 1.0).sample().shape == ()",
        "from torch.distributions.kl import kl_divergence as kl\n"
        "one = torch.distributions.Normal(0.0, 1.0)\nassert kl(one, one) == 0",
        "from torch.masked import masked_tensor\nassert masked_tensor(torch.ones(2), torch.ones(2).bool()).sum() == 2",
    ],
)
def test_tools_of_torch_can_be_used_at_once(program: str, run: Run) -> None:
    run(f"import torch\n{program}")


def test_mapping_a_function_loads_a_decomposition_only_for_operators_that_need_one(run: Run) -> None:
    assert run(
        """
        import torch
        from torch.nn import functional

        rows, classes = torch.randn(3, 4, 2), torch.ones(3, 4, dtype=torch.int64)
        sums = torch.vmap(lambda own: own.square().sum())(rows)
        assert torch.allclose(sums, rows.square().sum(dim=(1, 2)))
        print("torch._decomp.decompositions" in sys.modules, "torch.export.graph_signature" in sys.modules)

        losses = torch.vmap(functional.cross_entropy)(rows, classes)
        assert torch.allclose(losses, torch.stack([functional.cross_entropy(*own) for own in zip(rows, classes)]))
        print("torch._decomp.decompositions" in sys.modules)

        slopes = torch.vmap(torch.func.grad(functional.huber_loss))(rows, rows + 2)
        assert torch.allclose(slopes, torch.full_like(rows, -1 / 8))

        class Mapped(torch.nn.Module):
            def forward(self, rows):
                return torch.vmap(torch.sum)(rows)

        exported = torch.export.export(Mapped(), (rows,), strict=False)
        print("lazy_load_decompositions" in exported.graph_module.code)
        assert torch.equal(exported.module()(rows), rows.sum(dim=(1, 2)))
        """
    ).splitlines() == ["False False", "True", "True"]
