"""Files that are renamed, rotated, swapped, taken away and put back, on both databases."""

import os
from datetime import timedelta

import pytest
from article_builders import NOW, Pipeline, make_scan
from sqlalchemy import select
from sqlmodel import col

from feedsvc.articles.scans import load_stored
from feedsvc.model.article import Article, ArticleState

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=1)


def text(title: str, body: str = "正文。", more: str = "") -> str:
    return f"---\ntitle: {title}\ndate: 2026-02-01 08:00\n{more}---\n\n{body}\n"


async def articles(pipeline: Pipeline) -> dict[str, Article]:
    """Articles by title; of two with the same title, the newer."""
    async with pipeline.database.read() as session:
        rows = await session.execute(select(Article).order_by(col(Article.id)))
        return {article.title: article for article in rows.scalars()}


def shown(found: dict[str, Article]) -> dict[str, tuple[str, bool]]:
    """Title -> key and whether it is announced, of what is published."""
    return {
        title: (one.source_key, one.announce)
        for title, one in found.items()
        if one.state is ArticleState.PUBLISHED
    }


@pytest.fixture
async def held(pipeline: Pipeline) -> Pipeline:
    """A source whose first scan is over, so that what comes now is announced."""
    await pipeline.ingest({"z.md": text("Zero")})
    return pipeline


async def test_a_new_article_under_the_old_name_of_another_is_announced(held: Pipeline) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "latest.md": text("First")})
    before = (await articles(held))["First"]
    rotated = {**zero, "day1.md": text("First"), "latest.md": text("Second")}
    stored = await held.ingest(rotated, now=LATER)
    after = await articles(held)
    assert shown(after) == {
        "Zero": ("z.md", False),
        "First": ("day1.md", True),
        "Second": ("latest.md", True),
    }
    assert (after["First"].id, after["First"].seq) == (before.id, before.seq)
    assert (stored.renamed, stored.new, stored.changed) == (1, 1, 0)
    assert (await held.decide(make_scan(rotated))).changes == ()


async def test_articles_that_swap_their_files_stay_themselves(held: Pipeline) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "a.md": text("One"), "b.md": text("Two")})
    before = await articles(held)
    stored = await held.ingest({**zero, "a.md": text("Two"), "b.md": text("One")}, now=LATER)
    after = await articles(held)
    assert (after["One"].source_key, after["Two"].source_key) == ("b.md", "a.md")
    assert {t: (one.id, one.guid, one.seq, one.revision) for t, one in after.items()} == {
        t: (one.id, one.guid, one.seq, one.revision) for t, one in before.items()
    }
    assert (stored.renamed, stored.changed, stored.new) == (2, 0, 0)


@pytest.mark.parametrize("batch_size", [1, 2, 500])
async def test_files_that_all_move_up_by_one_make_room_for_one_new_article(
    held: Pipeline, batch_size: int
) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, **{f"{n}.md": text(f"Story {n}") for n in (1, 2, 3)}})
    before = await articles(held)
    shifted = {f"{n + 1}.md": text(f"Story {n}") for n in (1, 2, 3)}
    await held.ingest({**zero, **shifted, "1.md": text("New")}, now=LATER, batch_size=batch_size)
    after = await articles(held)
    assert shown(after) == {
        "Zero": ("z.md", False),
        "New": ("1.md", True),
        **{f"Story {n}": (f"{n + 1}.md", True) for n in (1, 2, 3)},
    }
    assert all(after[title].id == one.id for title, one in before.items())


async def test_a_process_that_dies_among_moves_has_moved_nothing_by_half(held: Pipeline) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, **{f"{n}.md": text(f"Story {n}") for n in (1, 2, 3)}})
    before = await articles(held)
    shifted = {**zero, **{f"{n % 3 + 1}.md": text(f"Story {n}") for n in (1, 2, 3)}}
    await held.ingest({**shifted, "4.md": text("New")}, now=LATER, batch_size=1, stop_after=1)
    await held.ingest({**shifted, "4.md": text("New")}, now=LATER, batch_size=1)
    after = await articles(held)
    assert {t: one.id for t, one in after.items() if t != "New"} == {
        t: one.id for t, one in before.items()
    }
    assert after["Story 3"].source_key == "1.md"


async def test_a_file_that_takes_the_place_of_another_leaves_that_one_withdrawn(
    held: Pipeline,
) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "a.md": text("One"), "b.md": text("Two")})
    before = await articles(held)
    stored = await held.ingest({**zero, "b.md": text("One")}, now=LATER)
    after = await articles(held)
    assert (after["One"].source_key, after["One"].id) == ("b.md", before["One"].id)
    assert (after["Two"].state, after["Two"].withdrawn_at) == (ArticleState.WITHDRAWN, LATER)
    assert (stored.renamed, stored.withdrawn, stored.changed) == (1, 1, 0)
    await held.ingest({**zero, "b.md": text("One"), "c.md": text("Two")}, now=LATER)
    back = (await articles(held))["Two"]
    assert (back.source_key, back.id, back.announce) == ("c.md", before["Two"].id, True)


async def test_a_copy_is_a_new_article_with_a_guid_of_its_own(held: Pipeline) -> None:
    await held.ingest({"z.md": text("Zero"), "copy.md": text("Zero")})
    async with held.database.read() as session:
        rows = await session.execute(select(col(Article.source_key), col(Article.guid)))
        guids = dict(rows.all())
    assert len(set(guids.values())) == 2
    assert set(guids) == {"z.md", "copy.md"}


async def test_an_article_missing_at_one_scan_is_announced_as_before(held: Pipeline) -> None:
    both = {"a.md": text("One"), "z.md": text("Zero")}
    await held.ingest(both)
    before = (await articles(held))["One"]
    await held.ingest({"z.md": text("Zero")}, now=LATER)
    assert (await held.ingest(both, now=LATER)).returned == 1
    after = (await articles(held))["One"]
    assert (after.state, after.announce) == (ArticleState.PUBLISHED, True)
    assert (after.guid, after.seq, after.revision) == (before.guid, before.seq, 1)


async def test_an_article_that_comes_back_with_other_bytes_but_the_same_words_is_the_same(
    held: Pipeline,
) -> None:
    await held.ingest({"a.md": text("One"), "z.md": text("Zero")})
    before = (await articles(held))["One"]
    await held.ingest({"z.md": text("Zero")})
    await held.ingest({"a.md": text("One") + "\n\n", "z.md": text("Zero")}, now=LATER)
    after = (await articles(held))["One"]
    assert (after.id, after.state, after.announce) == (before.id, ArticleState.PUBLISHED, True)


async def test_what_was_never_announced_is_not_after_it_was_missing(held: Pipeline) -> None:
    await held.ingest({"a.md": text("One")}, allow_mass_withdrawal=True)
    await held.ingest({"a.md": text("One"), "z.md": text("Zero")}, now=LATER)
    assert shown(await articles(held))["Zero"] == ("z.md", False)


async def test_an_article_made_a_draft_for_an_hour_is_announced_as_before(held: Pipeline) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "a.md": text("One")})
    await held.ingest({**zero, "a.md": text("One", more="draft: true\n")}, now=LATER)
    assert (await articles(held))["One"].state is ArticleState.WITHDRAWN
    await held.ingest({**zero, "a.md": text("One", "改了。")}, now=LATER)
    after = (await articles(held))["One"]
    assert (after.state, after.announce, after.revision) == (ArticleState.PUBLISHED, True, 2)


async def test_other_words_under_the_key_of_a_gone_article_are_a_new_article(
    held: Pipeline,
) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "weekly.md": text("Week 1")})
    before = (await articles(held))["Week 1"]
    await held.ingest(zero)
    stored = await held.ingest({**zero, "weekly.md": text("Week 2")}, now=LATER)
    after = await articles(held)
    assert (stored.new, stored.returned) == (1, 0)
    assert shown(after) == {"Zero": ("z.md", False), "Week 2": ("weekly.md", True)}
    assert after["Week 2"].guid != before.guid
    assert after["Week 1"].state is ArticleState.WITHDRAWN
    assert (await held.decide(make_scan({**zero, "weekly.md": text("Week 2")}))).changes == ()


async def test_a_gone_article_whose_key_another_has_taken_still_comes_back_elsewhere(
    held: Pipeline,
) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "weekly.md": text("Week 1")})
    before = (await articles(held))["Week 1"]
    await held.ingest(zero)
    now_held = {**zero, "weekly.md": text("Week 2")}
    await held.ingest(now_held)
    await held.ingest({**now_held, "archive/1.md": text("Week 1")}, now=LATER)
    after = (await articles(held))["Week 1"]
    assert (after.id, after.source_key) == (before.id, "archive/1.md")
    assert (after.seq, after.state) == (before.seq, ArticleState.PUBLISHED)


async def test_a_file_renamed_to_the_key_of_a_gone_article_stays_itself(held: Pipeline) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "note.md": text("Old note")})
    await held.ingest({**zero, "fresh.md": text("Fresh news")})
    before = (await articles(held))["Fresh news"]
    stored = await held.ingest({**zero, "note.md": text("Fresh news")}, now=LATER)
    after = await articles(held)
    assert (stored.renamed, stored.new, stored.withdrawn) == (1, 0, 0)
    assert shown(after) == {"Zero": ("z.md", False), "Fresh news": ("note.md", True)}
    assert (after["Fresh news"].id, after["Fresh news"].seq) == (before.id, before.seq)
    assert after["Old note"].state is ArticleState.WITHDRAWN


async def test_a_draft_written_anew_gets_the_address_that_nobody_has_seen(held: Pipeline) -> None:
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "a.md": text("One", "Kladde.", "draft: true\nslug: one\n")})
    await held.ingest(zero)
    await held.ingest({**zero, "a.md": text("Uno", more="slug: one\n")}, now=LATER)
    after = await articles(held)
    assert (after["Uno"].slug, after["Uno"].announce) == ("one", True)
    assert after["One"].slug != "one"


async def test_a_freed_key_is_no_path(held: Pipeline) -> None:
    await held.ingest({"z.md": text("Zero"), "a/weekly.md": text("Week 1")})
    await held.ingest({"z.md": text("Zero")})
    await held.ingest({"z.md": text("Zero"), "a/weekly.md": text("Week 2")}, now=LATER)
    freed = (await articles(held))["Week 1"].source_key
    assert os.path.isabs(freed)
    async with held.database.read() as session:
        assert set(await load_stored(session, "blog")) == {"z.md", "a/weekly.md", freed}


async def test_moves_decided_twice_are_made_once(held: Pipeline) -> None:
    """Two nodes saw the same swap; the second writes after the first."""
    zero = {"z.md": text("Zero")}
    await held.ingest({**zero, "a.md": text("One"), "b.md": text("Two")})
    swapped = {**zero, "a.md": text("Two"), "b.md": text("One"), "c.md": text("New")}
    seen = await held.decide(make_scan(swapped))
    await held.ingest(swapped, now=LATER)
    before = await articles(held)
    late = Pipeline(held.database)
    late.decide = lambda scan, **_: _as_seen(seen)  # type: ignore[method-assign]
    await late.ingest(swapped, now=LATER)
    assert {t: (one.id, one.source_key) for t, one in (await articles(held)).items()} == {
        t: (one.id, one.source_key) for t, one in before.items()
    }


async def _as_seen(seen: object) -> object:
    return seen
