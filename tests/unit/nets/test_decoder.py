"""The caption decoder: shapes, padding, the key cache, and beam search against every possible caption."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from mmdemo.nets.decoder import (
    END,
    PAD,
    SPECIAL,
    START,
    UNKNOWN,
    CaptionConfig,
    CaptionDecoder,
    Hypothesis,
    Keys,
    beam_search,
    sample,
)


def tiny(words: int = 9, *, ablate_image: bool = False) -> CaptionDecoder:
    torch.manual_seed(3)
    config = CaptionConfig(
        words=words, width=16, layers=2, heads=2, positions=14, channels=6, grid=2, ablate_image=ablate_image
    )
    decoder = CaptionDecoder(config).eval()
    with torch.no_grad():
        decoder.word.weight.mul_(3)  # a random decoder is nearly even; sharper ones are harder to search
        decoder.bias.normal_()
    return decoder.requires_grad_(False)


def memory_of(decoder: CaptionDecoder, count: int = 1) -> Keys:
    return decoder.memory(torch.rand(count, 6, 2, 2, generator=torch.Generator().manual_seed(1)) * 6)


def test_shapes() -> None:
    decoder = tiny()
    memory = memory_of(decoder, 3)
    assert [k.shape for k, _ in memory] == [(3, 2, 4, 8)] * 2  # (B, h, G * G, W / h) of each layer
    words = torch.randint(SPECIAL, 9, (3, 5))
    assert decoder(words, memory).shape == (3, 5, 9)
    looked = decoder.attention_maps(words, memory)
    assert looked.shape == (3, 5, 4)
    torch.testing.assert_close(looked.sum(dim=2), torch.ones(3, 5))


def test_word_by_word_with_kept_keys_equals_all_at_once() -> None:
    decoder = tiny()
    memory = memory_of(decoder, 2)
    words = torch.cat((torch.full((2, 1), START), torch.randint(SPECIAL, 9, (2, 6))), dim=1)
    whole = decoder(words, memory)
    past = None
    for at in range(words.shape[1]):
        logits, past = decoder.step(words[:, at : at + 1], at, memory, past)
        torch.testing.assert_close(logits, whole[:, at], atol=1e-5, rtol=1e-4)
    assert past is not None
    assert past[0][0].shape[2] == words.shape[1]


def test_padding_behind_a_caption_changes_nothing() -> None:
    decoder = tiny()
    memory = memory_of(decoder)
    words = torch.tensor([[START, 5, 7, 4]])
    padded = torch.tensor([[START, 5, 7, 4, PAD, PAD]])
    torch.testing.assert_close(decoder(padded, memory)[:, :4], decoder(words, memory))


def test_a_blind_decoder_sees_nothing_and_another_one_does() -> None:
    words = torch.tensor([[START, 5]])
    for blind in (True, False):
        decoder = tiny(ablate_image=blind)
        one, other = (
            decoder(words, decoder.memory(grid)) for grid in (torch.zeros(1, 6, 2, 2), torch.ones(1, 6, 2, 2))
        )
        assert torch.equal(one, other) is blind


def every_caption(decoder: CaptionDecoder, memory: Keys, longest: int, temperature: float) -> list[Hypothesis]:
    """All captions of 1 to ``longest`` words with END, scored one by one."""
    names = range(SPECIAL, decoder.config.words)
    found = []
    for length in range(1, longest + 1):
        for words in itertools.product(names, repeat=length):
            log_p = F.log_softmax(decoder(torch.tensor([[START, *words]]), memory)[0] / temperature, dim=1)
            total = sum(float(log_p[i, word]) for i, word in enumerate((*words, END)))
            found.append(Hypothesis(words, total, True))
    return sorted(found, key=lambda h: h.score, reverse=True)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_wide_beam_search_finds_the_best_of_all_captions(temperature: float) -> None:
    decoder = tiny(words=7)
    memory = memory_of(decoder)
    wanted = every_caption(decoder, memory, 3, temperature)
    found = beam_search(decoder, memory, beams=27, longest=3, temperature=temperature, no_repeat=0)
    assert len(found) == 27
    assert [h.words for h in found] == [h.words for h in wanted[:27]]
    for have, want in zip(found, wanted, strict=False):
        assert have.log_probability == pytest.approx(want.log_probability, abs=1e-4)


def test_a_narrow_beam_gives_real_scores() -> None:
    decoder = tiny(words=7)
    memory = memory_of(decoder)
    scored = {h.words: h.log_probability for h in every_caption(decoder, memory, 3, 1.0)}
    for hypothesis in beam_search(decoder, memory, beams=2, longest=3, no_repeat=0):
        assert hypothesis.log_probability == pytest.approx(scored[hypothesis.words], abs=1e-4)


def test_no_pair_of_words_comes_twice() -> None:
    decoder = tiny(words=6)  # two words: without the rule they would go round and round
    with torch.no_grad():
        decoder.bias[END] = -30.0
    memory = memory_of(decoder)
    found = beam_search(decoder, memory, beams=3, longest=12, no_repeat=2)
    assert found
    for hypothesis in found:
        pairs = list(itertools.pairwise(hypothesis.words))
        assert len(pairs) == len(set(pairs))
    free = beam_search(decoder, memory, beams=3, longest=12, no_repeat=0)
    assert max(len(h.words) for h in free) == 12
    assert max(len(h.words) for h in found) <= 5  # there are four pairs


def test_more_beams_than_words_is_no_error() -> None:
    decoder = tiny(words=5)
    found = beam_search(decoder, memory_of(decoder), beams=10, longest=3)
    assert found[0].words == (4,) or found[0].words == (4, 4)


def test_watching_sees_the_caption_grow() -> None:
    decoder = tiny()
    seen: list[int] = []
    beam_search(decoder, memory_of(decoder), beams=2, longest=6, watch=lambda live: seen.append(len(live[0].words)))
    assert seen == list(range(1, len(seen) + 1))
    assert seen


def test_an_empty_caption_is_never_given() -> None:
    decoder = tiny()
    with torch.no_grad():
        decoder.bias[END] = 30.0
    assert all(h.words for h in beam_search(decoder, memory_of(decoder), beams=3, longest=5))


def test_later_words_change_nothing_before_them() -> None:
    decoder = tiny()
    memory = memory_of(decoder)
    one, other = (decoder(torch.tensor([[START, 5, word]]), memory)[:, :2] for word in (6, 8))
    torch.testing.assert_close(one, other)


def test_the_likeliest_words_are_what_a_search_with_one_beam_finds() -> None:
    decoder = tiny()
    memory = memory_of(decoder, 3)
    found = sample(decoder, memory, longest=6, greedy=True)
    for i, words in enumerate(found.tolist()):
        alone = [(k[i : i + 1], v[i : i + 1]) for k, v in memory]
        (best,) = beam_search(decoder, alone, beams=1, longest=6, no_repeat=0)
        said = tuple(word for word in words if word not in {END, PAD})
        assert said == best.words[: len(said)]
        assert len(said) == 6 or best.words == said


def test_drawn_words_come_as_often_as_they_are_likely() -> None:
    decoder = tiny()
    memory = memory_of(decoder)
    many = [(k.expand(4000, -1, -1, -1), v.expand(4000, -1, -1, -1)) for k, v in memory]
    torch.manual_seed(0)
    found = sample(decoder, many, longest=5)
    logits = decoder(torch.tensor([[START]]), memory)[0, 0]
    logits[[START, END, UNKNOWN, PAD]] = -torch.inf  # what cannot begin a caption
    share = torch.bincount(found[:, 0], minlength=9) / len(found)
    torch.testing.assert_close(share, logits.softmax(0), atol=0.03, rtol=0)


def test_nothing_but_padding_follows_the_end() -> None:
    decoder = tiny()
    decoder.bias[END] += decoder.bias.max() + 8  # or this one would hardly ever end
    torch.manual_seed(0)
    found = sample(decoder, memory_of(decoder, 40), longest=9)
    assert END in found
    assert PAD in found
    for words in found.tolist():
        assert not {START, UNKNOWN} & set(words)
        if END in words:
            assert set(words[words.index(END) + 1 :]) <= {PAD}
        else:
            assert PAD not in words
