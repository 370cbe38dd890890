"""What a token is built from.

Byte-pair encoding applies the merge of least rank until none is left. When a text ends up as
tokens t1 ... tn, no merge crossed a border between them, so inside each ti exactly those merges
ran that would have run on ti alone; and the last of them joined two tokens of which the same is
true. Keeping both halves, theirs, and so on keeps every merge that the text needs. The other
merges only ever lost against these, so dropping them changes nothing: token sequences are equal.

Unigram picks the best-scoring segmentation: dropping pieces that are not in it leaves it the best.
"""

from __future__ import annotations

from collections.abc import Iterable

from flab_deploy.tokenizer.vocabulary import Vocabulary


class Derivations:
    """The halves of every token, found when first asked for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._ids, self._tokens = vocabulary.ids, vocabulary.tokens
        self._rank: dict[tuple[str, str], int] = {}
        self._made_by: dict[str, list[tuple[str, str]]] = {}
        self._halves: dict[int, tuple[int, ...]] = {}
        for rank, pair in enumerate(vocabulary.merges):
            if pair not in self._rank:
                self._made_by.setdefault(pair[0] + pair[1], []).append(pair)
            self._rank[pair] = (
                rank  # of equal pairs the last one counts, as in the tokenizer itself
            )

    def halves(self, token: int) -> tuple[int, ...]:
        """The two tokens that the last merge of `token` joins; () for bytes, characters, pieces,
        added tokens.
        """
        found = self._halves.get(token)
        if found is None:
            found = self._halves[token] = self._find(token)
        return found

    def closure(self, wanted: Iterable[int], kept: set[int]) -> set[int]:
        """What has to join `kept`, itself closed, so that every token in `wanted` can be built."""
        added: set[int] = set()
        pending = list(wanted)
        while pending:
            token = pending.pop()
            if token not in kept and token not in added:
                added.add(token)
                pending += self.halves(token)
        return added

    def _find(self, token: int) -> tuple[int, ...]:
        text = self._tokens.get(token, "")
        candidates = self._made_by.get(text, [])
        last = (
            candidates[0]
            if len(candidates) == 1
            else self._last_merge(text)
            if candidates
            else None
        )
        return (self._ids[last[0]], self._ids[last[1]]) if last else ()

    def _last_merge(self, text: str) -> tuple[str, str] | None:
        """The merge that completes `text` when it is tokenized alone, None if it comes out as
        several tokens.
        """
        pieces, pair = list(text), None
        ranks = [self._rank.get(two) for two in zip(pieces, pieces[1:], strict=False)]
        while len(pieces) > 1:
            found = [(rank, at) for at, rank in enumerate(ranks) if rank is not None]
            if not found:
                return None
            at = min(found)[1]
            pair = (pieces[at], pieces[at + 1])
            pieces[at : at + 2] = ["".join(pair)]
            del ranks[at]
            for left in (at - 1, at):
                if 0 <= left < len(ranks):
                    ranks[left] = self._rank.get((pieces[left], pieces[left + 1]))
        return pair
