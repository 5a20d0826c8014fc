"""The cache keeps what was used last, within both limits, from any thread."""

from __future__ import annotations

import threading

import pytest

from mmdemo.serving.cache import LruCache


def test_the_least_recently_used_goes_first() -> None:
    cache: LruCache[str, int] = LruCache(max_entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c"), len(cache)) == (1, 3, 2)


def test_bytes_are_limited_and_counted() -> None:
    cache: LruCache[str, bytes] = LruCache(max_entries=10, max_bytes=10, size=len)
    cache.put("a", b"12345")
    cache.put("b", b"12345")
    assert cache.bytes == 10
    cache.put("c", b"1")
    assert cache.get("a") is None
    assert cache.bytes == 6
    cache.put("b", b"1")  # a replaced value is counted once
    assert cache.bytes == 2
    cache.put("b", b"1" * 11)  # too big to keep, and the old one is out of date
    assert cache.get("b") is None
    assert cache.bytes == 1
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_none_is_kept_with_no_room() -> None:
    cache: LruCache[str, int] = LruCache(max_entries=0)
    cache.put("a", 1)
    assert cache.get("a") is None


@pytest.mark.parametrize("limits", [{"max_entries": -1}, {"max_entries": 1, "max_bytes": -1}])
def test_limits_are_checked(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="negative"):
        LruCache(**limits)


def test_many_threads() -> None:
    cache: LruCache[int, int] = LruCache(max_entries=50, max_bytes=400, size=lambda _: 8)

    def work(seed: int) -> None:
        for step in range(500):
            key = (step * seed) % 97
            found = cache.get(key)
            assert found in (None, key)
            cache.put(key, key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache) == 50
    assert cache.bytes == 400
