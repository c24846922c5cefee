"""From scans to rows, on both databases, as the pipeline does it."""

from datetime import timedelta

import pytest
from article_builders import NOW, Pipeline, make_scan
from sqlalchemy import select, update
from sqlmodel import col

from feedsvc.articles.moves import gone_fingerprint
from feedsvc.articles.scans import fail_scan, load_known, load_problems
from feedsvc.errors import SourceUnavailable
from feedsvc.model.article import Article, ArticleState, Problem, Source, SourceProblem

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=1)
DATED = "---\ntitle: {title}\ndate: 2026-02-01 08:00\n---\n\n{body}\n"


def dated(title: str, body: str = "正文。", more: str = "") -> str:
    return DATED.format(title=f"{title}\n{more}".strip(), body=body)


async def articles(pipeline: Pipeline) -> dict[str, Article]:
    async with pipeline.database.read() as session:
        rows = await session.execute(select(Article).order_by(col(Article.id)))
        return {article.source_key: article for article in rows.scalars()}


async def article(pipeline: Pipeline, key: str = "a.md") -> Article:
    return (await articles(pipeline))[key]


async def source(pipeline: Pipeline) -> Source:
    async with pipeline.database.read() as session:
        row = await session.get(Source, "blog")
    assert row is not None
    return row


async def problems(pipeline: Pipeline) -> list[SourceProblem]:
    async with pipeline.database.read() as session:
        return await load_problems(session, "blog")


async def test_a_new_article_is_stored_and_published(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("三峡", "正文。", "tags: [水电]\nauthor: 李雷")})
    stored = await article(pipeline)
    assert (stored.title, stored.content, stored.topics) == ("三峡", "<p>正文。</p>", ["水电"])
    assert (stored.state, stored.seq, stored.revision) == (ArticleState.PUBLISHED, 1, 1)
    assert stored.guid == "urn:uuid:00000000-0000-4000-8000-000000000001"
    assert stored.authors == ["李雷"]
    assert stored.updated_at == stored.published_at
    assert stored.stored_at == NOW


async def test_what_a_source_holds_at_first_is_not_announced_and_what_comes_later_is(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    await pipeline.ingest({"a.md": dated("One"), "b.md": dated("Two")}, now=LATER)
    assert {key: one.announce for key, one in (await articles(pipeline)).items()} == {
        "a.md": False,
        "b.md": True,
    }


async def test_a_first_scan_that_was_killed_is_still_the_first(pipeline: Pipeline) -> None:
    files = {f"{number}.md": dated(f"Article {number}") for number in range(5)}
    await pipeline.ingest(files, batch_size=2, stop_after=1)
    assert len(await articles(pipeline)) == 2
    await pipeline.ingest(files, batch_size=2, now=LATER)
    stored = await articles(pipeline)
    assert len(stored) == 5
    assert not any(one.announce for one in stored.values())
    assert (await source(pipeline)).first_complete_scan_at == LATER


async def test_a_second_scan_of_the_same_changes_nothing(pipeline: Pipeline) -> None:
    files = {"a.md": dated("One"), "b.md": dated("Two")}
    await pipeline.ingest(files)
    before = {key: one.model_dump() for key, one in (await articles(pipeline)).items()}
    assert not (await pipeline.ingest(files, now=LATER)).anything
    assert {key: one.model_dump() for key, one in (await articles(pipeline)).items()} == before
    row = await source(pipeline)
    assert (row.last_scan_at, row.last_change_at) == (LATER, NOW)


async def test_an_edit_makes_a_revision_and_moves_updated_at(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    before = await article(pipeline)
    async with pipeline.database.write() as session:
        await session.execute(update(Article).values(set_aside="cannot be serialised"))
    stored = await pipeline.ingest({"a.md": dated("One", "改了。")}, now=LATER)
    after = await article(pipeline)
    assert stored.changed == 1
    assert (after.content, after.revision, after.updated_at) == ("<p>改了。</p>", 2, LATER)
    assert (after.guid, after.seq, after.slug) == (before.guid, before.seq, before.slug)
    assert after.published_at == before.published_at
    assert after.set_aside is None


async def test_an_edit_is_dated_as_its_author_says(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    await pipeline.ingest({"a.md": dated("One", "改了。", "updated: 2026-02-20 08:00")}, now=LATER)
    assert (await article(pipeline)).updated_at.isoformat() == "2026-02-20T00:00:00+00:00"


async def test_other_bytes_that_read_the_same_are_no_edit(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    before = await article(pipeline)
    stored = await pipeline.ingest({"a.md": dated("One") + "\n\n"}, now=LATER)
    after = await article(pipeline)
    assert (stored.untouched, stored.anything) == (1, False)
    assert (after.revision, after.updated_at) == (before.revision, before.updated_at)
    assert after.fingerprint != before.fingerprint


async def test_an_article_without_date_keeps_the_one_it_was_published_with(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"a.md": "# One\n\nx"})
    async with pipeline.database.write() as session:
        await session.execute(update(Article).values(published_at=NOW - timedelta(days=9)))
    await pipeline.ingest({"a.md": "# One\n\ny"}, now=LATER)
    assert (await article(pipeline)).published_at == NOW - timedelta(days=9)


async def test_a_file_that_vanishes_is_withdrawn_and_comes_back_as_it_was(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"z.md": dated("Zero")})
    both = {"a.md": dated("One"), "z.md": dated("Zero")}
    await pipeline.ingest(both)
    published = await article(pipeline)
    assert published.announce
    await pipeline.ingest({"z.md": dated("Zero")}, now=LATER)
    withdrawn = await article(pipeline)
    assert (withdrawn.state, withdrawn.withdrawn_at) == (ArticleState.WITHDRAWN, LATER)
    assert withdrawn.seq == published.seq
    stored = await pipeline.ingest(both, now=LATER)
    back = await article(pipeline)
    assert stored.returned == 1
    assert (back.state, back.withdrawn_at, back.announce) == (ArticleState.PUBLISHED, None, True)
    assert (back.guid, back.seq, back.revision) == (published.guid, published.seq, 1)
    assert back.updated_at == published.updated_at


async def test_a_renamed_file_is_the_same_article(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    before = await article(pipeline)
    stored = await pipeline.ingest({"2026/b.md": dated("One")}, now=LATER)
    after = await article(pipeline, "2026/b.md")
    assert (stored.renamed, stored.new, stored.withdrawn) == (1, 0, 0)
    assert (after.id, after.guid, after.seq) == (before.id, before.guid, before.seq)
    assert (await pipeline.decide(make_scan({"2026/b.md": dated("One")}))).changes == ()


async def test_a_file_moved_slowly_comes_back_as_the_same_article(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    before = await article(pipeline)
    await pipeline.ingest({})
    await pipeline.ingest({"b.md": dated("One")}, now=LATER)
    after = await article(pipeline, "b.md")
    assert (after.id, after.state) == (before.id, ArticleState.PUBLISHED)


async def test_a_source_that_has_lost_too_much_withdraws_nothing(pipeline: Pipeline) -> None:
    files = {f"{number}.md": dated(f"Article {number}") for number in range(10)}
    await pipeline.ingest(files)
    with pytest.raises(SourceUnavailable) as caught:
        await pipeline.ingest({"0.md": dated("Article 0")}, now=LATER)
    async with pipeline.database.write() as session:
        await fail_scan(session, "blog", str(caught.value), LATER)
    assert {one.state for one in (await articles(pipeline)).values()} == {ArticleState.PUBLISHED}
    assert "9 of 10" in ((await source(pipeline)).error or "")
    await pipeline.ingest({"0.md": dated("Article 0")}, now=LATER, allow_mass_withdrawal=True)
    row = await source(pipeline)
    assert row.error is None
    assert sum(1 for one in (await articles(pipeline)).values() if one.withdrawn_at == LATER) == 9


async def test_a_broken_new_version_keeps_the_last_good_one(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    broken = {"a.md": "---\ntitle: a: b\n---\n"}
    assert (await pipeline.ingest(broken, now=LATER)).broken == 1
    assert (await article(pipeline)).title == "One"
    (problem,) = await problems(pipeline)
    assert (problem.source_key, problem.location, problem.line) == ("a.md", "/articles/a.md", 2)
    assert "quotes" in problem.reason
    assert (await pipeline.decide(make_scan(broken))).changes == ()
    await pipeline.ingest({"a.md": dated("Mended")}, now=LATER)
    assert (await article(pipeline)).title == "Mended"
    assert await problems(pipeline) == []


@pytest.mark.parametrize("after", [{}, {"a.md": dated("One")}], ids=["deleted", "put-back"])
async def test_a_problem_ends_with_its_cause(pipeline: Pipeline, after: dict[str, str]) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    await pipeline.ingest({"a.md": "no title"})
    await pipeline.ingest(after)
    assert await problems(pipeline) == []


async def test_a_file_broken_at_the_first_scan_is_not_announced_once_mended(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"a.md": "no title"})
    await pipeline.ingest({"a.md": "still none"}, now=LATER)
    await pipeline.ingest({"a.md": dated("Mended"), "b.md": "no title"}, now=LATER)
    assert not (await article(pipeline)).announce
    await pipeline.ingest({"a.md": dated("Mended"), "b.md": dated("New")}, now=LATER)
    assert (await article(pipeline, "b.md")).announce


async def test_an_unreadable_file_is_a_problem_as_long_as_it_is_one(pipeline: Pipeline) -> None:
    problem = Problem("/articles/locked.md", "may not be read")
    await pipeline.ingest({"a.md": dated("One")}, problems=(problem,))
    assert [str(one.reason) for one in await problems(pipeline)] == ["may not be read"]
    await pipeline.ingest({"a.md": dated("One")}, problems=(problem,), now=LATER)
    assert [one.seen_at for one in await problems(pipeline)] == [NOW]
    await pipeline.ingest({"a.md": dated("One"), "locked.md": dated("Open")}, now=LATER)
    assert await problems(pipeline) == []
    assert not (await article(pipeline, "locked.md")).announce


async def test_a_draft_is_held_until_its_author_lifts_it(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One", more="draft: true")})
    assert (await article(pipeline)).state is ArticleState.HELD
    await pipeline.ingest({"a.md": dated("One", more="draft: false")}, now=LATER)
    lifted = await article(pipeline)
    assert (lifted.state, lifted.seq, lifted.announce) == (ArticleState.PUBLISHED, 1, True)


async def test_a_published_article_made_a_draft_is_withdrawn_until_it_is_none(
    pipeline: Pipeline,
) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    draft = {"a.md": dated("One", more="draft: true")}
    assert (await pipeline.ingest(draft, now=LATER)).withdrawn == 1
    assert (await article(pipeline)).withdrawn_at == LATER
    assert not (await pipeline.ingest(draft, now=LATER)).anything
    assert (await pipeline.ingest({"a.md": dated("One")}, now=LATER)).returned == 1
    assert (await article(pipeline)).state is ArticleState.PUBLISHED


async def test_a_scheduled_article_waits_and_may_still_be_moved(pipeline: Pipeline) -> None:
    text = "---\ntitle: T\nslug: {slug}\ndate: 2026-03-{day} 08:00\n---\nx"
    await pipeline.ingest({"a.md": text.format(day="05", slug="one")})
    assert (await article(pipeline)).state is ArticleState.SCHEDULED
    await pipeline.ingest({"a.md": text.format(day="04", slug="two")}, now=LATER)
    moved = await article(pipeline)
    assert (moved.state, moved.slug) == (ArticleState.SCHEDULED, "two")
    assert moved.published_at.day == moved.updated_at.day == 4
    await pipeline.ingest({}, now=LATER)
    assert (await article(pipeline)).state is ArticleState.WITHDRAWN
    await pipeline.ingest({"a.md": text.format(day="04", slug="two")}, now=LATER)
    assert (await article(pipeline)).state is ArticleState.SCHEDULED


async def test_equal_titles_get_different_slugs(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("Same"), "b.md": dated("Same")})
    await pipeline.ingest({"a.md": dated("Same"), "b.md": dated("Same"), "c.md": dated("Same")})
    slugs = [one.slug for one in (await articles(pipeline)).values()]
    assert slugs[0] == "same"
    assert len(set(slugs)) == 3
    assert all(slug.startswith("same") for slug in slugs)


async def test_the_slug_of_a_published_article_stays(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    await pipeline.ingest({"a.md": dated("Two", more="slug: two")}, now=LATER)
    assert (await article(pipeline)).slug == "one"


async def test_two_scans_of_the_same_state_store_an_article_once(pipeline: Pipeline) -> None:
    """Two nodes decided on the same view: the second finds what the first has stored."""
    await pipeline.ingest({"a.md": dated("One")}, stop_after=1)
    async with pipeline.database.write() as session:
        known = await load_known(session, "blog")
    assert known.first_scan
    assert known.fingerprints == {"a.md": known.stored["a.md"].fingerprint}
    stale = Pipeline(pipeline.database)
    stale.decide = _decided_on_nothing  # type: ignore[method-assign]
    stored = await stale.ingest({"a.md": dated("One")})
    assert (stored.new, stored.untouched) == (0, 1)
    assert len(await articles(pipeline)) == 1


async def _decided_on_nothing(scan: object, **_: object) -> object:
    from feedsvc.articles.changes import decide_changes

    return decide_changes(scan, {}, {}, first_scan=True, allow_mass_withdrawal=False)  # type: ignore[arg-type]


async def test_a_gone_article_remembers_its_bytes(pipeline: Pipeline) -> None:
    await pipeline.ingest({"a.md": dated("One")})
    before = (await article(pipeline)).fingerprint
    await pipeline.ingest({})
    after = (await article(pipeline)).fingerprint
    assert after == gone_fingerprint(before)
    assert len(after) == 64
