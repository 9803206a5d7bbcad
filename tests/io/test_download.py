"""Public files from a server on this machine: whole, in parts, broken and absent."""

import hashlib
import socket
import sys
from dataclasses import replace

import numpy as np
import pytest
from served import serving

from wdno import io
from wdno.io.download import PublicFile, download, plan, public_files
from wdno.io.download.http import resume

pytest.importorskip("requests")

SIZE = 500_000
BYTES = np.random.default_rng(0).bytes(SIZE)


@pytest.fixture
def served(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.hdf5").write_bytes(BYTES)
    with serving(source) as server:
        yield server


@pytest.fixture
def file(served):
    digest = hashlib.md5(BYTES).hexdigest()
    return PublicFile("a.hdf5", f"{served.url}/a.hdf5", f"md5:{digest}", None, "", "")


def left(folder):
    return sorted(path.name for path in folder.iterdir())


# What is known ------------------------------------------------------------------------


def test_the_known_files_are_those_of_pdebench():
    """Facts of pdebench_data_urls.csv: 8 + 12 + 12 files, and two of its rows."""
    files = public_files()
    assert len(files) == 32 and all(name == files[name].name for name in files)
    for field in ("url", "checksum"):
        assert len({getattr(file, field) for file in files.values()}) == 32
    site = "https://darus.uni-stuttgart.de/api/access/datafile/"
    shock = files["1D_CFD_Shock_Eta1.e-8_Zeta1.e-8_trans_Train.hdf5"]
    assert shock.url == f"{site}133156"
    assert shock.checksum == "md5:08dffc3d84033c7574a70614703dd753"
    last = files["1D_Advection_Sols_beta7.0.hdf5"]
    assert last.url == f"{site}255664"
    assert last.checksum == "md5:72a286ad2fcba574bd20bc045ba82d58"
    for file in files.values():
        assert file.url.startswith(site)
        assert len(bytes.fromhex(file.checksum.removeprefix("md5:"))) == 16


def test_the_known_files_cannot_be_changed():
    with pytest.raises(TypeError):
        public_files()["a"] = None


def test_an_unknown_name_is_told_its_neighbours(tmp_path):
    for act in (plan, download):
        with pytest.raises(ValueError, match=r"'Sod9\.hdf5'.*Sod\d\.hdf5"):
            act(["Sod9.hdf5"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_public_file_has_a_name_and_a_checksum(file):
    for name in ("../a.hdf5", "b/a.hdf5", ""):
        with pytest.raises(ValueError, match="name without a folder"):
            replace(file, name=name)
    for checksum in ("d41d8cd98f00b204e9800998ecf8427e", "md5:", "crc:9", ""):
        with pytest.raises(ValueError, match="algorithm and a digest"):
            replace(file, checksum=checksum)


# Downloads ----------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_arrives_whole_and_alone(served, file, tmp_path, ranges):
    served.ranges = ranges
    [path] = download([file], tmp_path / "new" / "data")
    assert path == tmp_path / "new" / "data" / "a.hdf5"
    assert path.read_bytes() == BYTES and left(path.parent) == ["a.hdf5"]
    assert served.asked == [("/a.hdf5", None)]


def test_a_whole_file_is_left_alone(served, file, tmp_path):
    (tmp_path / "a.hdf5").write_bytes(BYTES)
    before = (tmp_path / "a.hdf5").stat()
    download([file], tmp_path)
    after = (tmp_path / "a.hdf5").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert not served.asked


def test_a_known_name_is_fetched_from_its_address(served, file, tmp_path, monkeypatch):
    table = {"a.hdf5": file}
    monkeypatch.setattr("wdno.io.download.public.public_files", lambda: table)
    [path] = download(["a.hdf5"], tmp_path / "data")
    assert path.read_bytes() == BYTES


def test_an_interrupted_download_goes_on(served, file, tmp_path):
    """Only what was missing is asked for, and the first bytes are those of before."""
    begun = BYTES[:200_000]
    (tmp_path / "a.hdf5.partial").write_bytes(begun)
    [path] = download([file], tmp_path)
    assert path.read_bytes() == BYTES
    assert served.asked == [("/a.hdf5", "bytes=200000-")]
    assert left(tmp_path) == ["a.hdf5", "source"]


def test_a_server_without_ranges_is_asked_anew(served, file, tmp_path):
    served.ranges = False
    (tmp_path / "a.hdf5.partial").write_bytes(b"?" * 200_000)
    [path] = download([file], tmp_path)
    assert path.read_bytes() == BYTES
    assert served.asked == [("/a.hdf5", "bytes=200000-")]


def test_a_broken_connection_is_taken_up_again(served, file, tmp_path):
    served.breaks = [200_000, 100_000]
    [path] = download([file], tmp_path)
    assert path.read_bytes() == BYTES and len(served.asked) == 3
    starts = [int(part[6:-1]) for _, part in served.asked[1:]]
    assert 100_000 < starts[0] <= 200_000 and starts[0] < starts[1] <= 300_000


def test_a_connection_that_gets_no_further_is_given_up(served, file, tmp_path):
    """What has come is kept; the next call goes on from there."""
    served.breaks = [200_000, 0]
    with pytest.raises(ConnectionError, match=r"cannot be read .*Try again; it goes"):
        download([file], tmp_path)
    assert left(tmp_path) == ["a.hdf5.partial", "source"]
    begun = (tmp_path / "a.hdf5.partial").read_bytes()
    assert len(begun) > 100_000 and begun == BYTES[: len(begun)]
    served.asked.clear()
    [path] = download([file], tmp_path)
    assert path.read_bytes() == BYTES
    assert served.asked == [("/a.hdf5", f"bytes={len(begun)}-")]


def test_a_server_without_ranges_that_always_breaks_is_given_up(served, tmp_path):
    served.ranges, served.breaks = False, [200_000] * 9
    with pytest.raises(ConnectionError, match="cannot be read"):
        resume(tmp_path / "a.partial", f"{served.url}/a.hdf5")
    assert len(served.asked) == 2


def test_a_wrong_checksum_removes_nothing(served, file, tmp_path):
    other = replace(file, checksum=f"md5:{'0' * 32}")
    message = r"000, but the 500,000 bytes from .* kept at .*a\.hdf5\.partial: remove"
    for requests in (1, 2):  # the second finds that no more is to come
        with pytest.raises(ValueError, match=message):
            download([other], tmp_path)
        assert left(tmp_path) == ["a.hdf5.partial", "source"]
        assert (tmp_path / "a.hdf5.partial").read_bytes() == BYTES
        assert len(served.asked) == requests
    [path] = download([file], tmp_path)  # the registry was wrong, not the bytes
    assert path.read_bytes() == BYTES


def test_another_file_of_the_name_stays(served, file, tmp_path):
    """It is seen before anything is fetched, and not even looked at twice."""
    (tmp_path / "a.hdf5").write_bytes(b"mine")
    first = replace(file, name="b.hdf5")
    with pytest.raises(ValueError, match=r"a\.hdf5 has another\. Move or remove it"):
        download([first, file], tmp_path)
    assert (tmp_path / "a.hdf5").read_bytes() == b"mine"
    assert left(tmp_path) == ["a.hdf5", "source"] and not served.asked


def test_a_missing_file_is_told(served, file, tmp_path):
    absent = replace(file, url=f"{served.url}/b.hdf5")
    for act in (plan, download):
        with pytest.raises(ConnectionError, match=r"b\.hdf5 answered 404 Not Found"):
            act([absent], tmp_path)
    assert left(tmp_path) == ["source"] and len(served.asked) == 2


def test_a_server_that_is_not_there_is_told(file, tmp_path):
    with socket.socket() as taken:  # bound but not listening: refuses connections
        taken.bind(("127.0.0.1", 0))
        nobody = replace(file, url=f"http://127.0.0.1:{taken.getsockname()[1]}/a.hdf5")
        with pytest.raises(ConnectionError, match="over the network, but http://127"):
            download([nobody], tmp_path)


def test_without_requests_the_extra_is_named(file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    for act in (plan, download):
        with pytest.raises(ModuleNotFoundError, match=r"'wdno\[download\]'"):
            act([file], tmp_path)


# Plans --------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
def test_a_plan_tells_what_is_there_and_writes_nothing(served, file, tmp_path, ranges):
    served.ranges = ranges
    names = [f"{name}.hdf5" for name in ("whole", "begun", "absent", "other")]
    files = [replace(file, name=name) for name in names]
    (tmp_path / names[0]).write_bytes(BYTES)
    (tmp_path / f"{names[1]}.partial").write_bytes(BYTES[:1000])
    (tmp_path / names[3]).write_bytes(b"mine")
    before = left(tmp_path)
    planned = plan(files, tmp_path)
    assert [one.state for one in planned] == ["whole", "begun", "absent", "other"]
    assert [one.present for one in planned] == [SIZE, 1000, 0, 0]
    assert [one.bytes for one in planned] == [SIZE] * 4
    assert [one.path for one in planned] == [tmp_path / name for name in names]
    assert left(tmp_path) == before
    assert {part for _, part in served.asked} == {"bytes=0-0"}


def test_a_known_size_is_not_asked_for(served, file, tmp_path):
    [planned] = plan([replace(file, bytes=7)], tmp_path / "new")
    assert planned.bytes == 7 and planned.state == "absent"
    assert not served.asked and not (tmp_path / "new").exists()


def test_what_was_fetched_is_opened_by_its_layout(served, file, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(served.folder / "adv.hdf5", "w") as stored:
        stored["tensor"] = np.ones((2, 3, 4), np.float32)
        stored["x-coordinate"] = np.arange(4.0)
        stored["t-coordinate"] = np.arange(4.0)
    digest = hashlib.sha256((served.folder / "adv.hdf5").read_bytes()).hexdigest()
    url, checksum = f"{served.url}/adv.hdf5", f"sha256:{digest}"
    public = replace(file, name="adv.hdf5", url=url, checksum=checksum)
    [path] = download([public], tmp_path / "data")
    assert io.open_pdebench(path).u.shape == (2, 3, 4)
