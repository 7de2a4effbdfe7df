//! Grouping of linked pairs.
//!
//! The item with the most links to items without a group becomes the centre of the next group, and every member is
//! linked to the centre of its group. This avoids chains whose first and last items have nothing in common. The first
//! pass uses the links between near copies. The second pass uses the links between similar pictures to join the groups
//! of the first one, so near copies always stay together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

use super::rule::DupeTier;

/// A link between two items, given by their positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Link {
    pub a: usize,
    pub b: usize,
    pub tier: DupeTier,
    /// Correlation of the structure of near copies, cosine of similar pictures.
    pub score: f32,
}

/// A member of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Member {
    pub item: usize,
    /// The loosest tier of the links to the centre; exact for the centre itself.
    pub tier: DupeTier,
    /// The minimum score of the links to the centre; 1 for the centre itself.
    pub score: f32,
}

/// Groups of at least two items, each with its centre first.
///
/// Among items with equally many links, those with a lower `rank` become centres first. The two items of a dismissed
/// pair are never in the same group, and two items that `conflict` are not near copies in the same group.
pub(super) fn groups(
    items: usize,
    links: &[Link],
    rank: impl Fn(usize) -> usize,
    dismissed: &HashSet<(usize, usize)>,
    conflict: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<Member>> {
    let (near, similar): (Vec<Link>, Vec<Link>) = links.iter().partition(|link| link.tier < DupeTier::Similar);
    let is_dismissed =
        |dismissed: &HashSet<(usize, usize)>, a: usize, b: usize| dismissed.contains(&(a.min(b), a.max(b)));
    let near = stars(items, &near, &rank, |a, b| is_dismissed(dismissed, a, b) || conflict(a, b));
    // From here on, the centres stand for their groups, in links and in dismissed pairs.
    let mut centre: Vec<usize> = (0..items).collect();
    near.iter().for_each(|star| star.iter().for_each(|member| centre[member.item] = star[0].item));
    let centres_of = |a: usize, b: usize| (centre[a].min(centre[b]), centre[a].max(centre[b]));
    let dismissed: HashSet<(usize, usize)> = dismissed.iter().map(|(a, b)| centres_of(*a, *b)).collect();
    let mut best: BTreeMap<(usize, usize), f32> = BTreeMap::new();
    for link in &similar {
        let (a, b) = centres_of(link.a, link.b);
        if a != b {
            let score = best.entry((a, b)).or_insert(link.score);
            *score = score.max(link.score);
        }
    }
    let similar: Vec<Link> =
        best.into_iter().map(|((a, b), score)| Link { a, b, tier: DupeTier::Similar, score }).collect();
    join(near, stars(items, &similar, &rank, |a, b| is_dismissed(&dismissed, a, b)))
}

/// Groups of items that are linked to their centre, which comes first. No two items of a group are `are_apart`.
fn stars(
    items: usize,
    links: &[Link],
    rank: &impl Fn(usize) -> usize,
    are_apart: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<Member>> {
    let mut linked: Vec<Vec<Member>> = vec![Vec::new(); items];
    for &Link { a, b, tier, score } in links.iter().filter(|link| !are_apart(link.a, link.b)) {
        linked[a].push(Member { item: b, tier, score });
        linked[b].push(Member { item: a, tier, score });
    }
    let mut taken = vec![false; items];
    let mut candidates: BinaryHeap<(usize, Reverse<usize>, usize)> =
        (0..items).map(|item| (linked[item].len(), Reverse(rank(item)), item)).collect();
    let mut stars = Vec::new();
    while let Some((count, rank_of, centre)) = candidates.pop() {
        if taken[centre] {
            continue;
        }
        // If linked items have been taken since the links were counted, the candidate goes back with its new count.
        let free = linked[centre].iter().filter(|other| !taken[other.item]).count();
        if free < count {
            candidates.push((free, rank_of, centre));
            continue;
        }
        let others = &mut linked[centre];
        others.sort_by(|x, y| y.score.total_cmp(&x.score).then(rank(x.item).cmp(&rank(y.item))));
        let mut star = vec![Member { item: centre, tier: DupeTier::Exact, score: 1.0 }];
        for other in others.iter() {
            if !taken[other.item] && star.iter().all(|member| !are_apart(member.item, other.item)) {
                star.push(*other);
            }
        }
        if star.len() > 1 {
            star.iter().for_each(|member| taken[member.item] = true);
            stars.push(star);
        }
    }
    stars
}

/// Merges stars of near copies into the stars of similar pictures that contain their centres.
fn join(near: Vec<Vec<Member>>, similar: Vec<Vec<Member>>) -> Vec<Vec<Member>> {
    let centres: Vec<usize> = near.iter().map(|star| star[0].item).collect();
    let mut near: BTreeMap<usize, Vec<Member>> = centres.iter().copied().zip(near).collect();
    let mut with_copies = |Member { item, tier, score }: Member| {
        let alone = || vec![Member { item, tier: DupeTier::Exact, score: 1.0 }];
        let copies = near.remove(&item).unwrap_or_else(alone).into_iter();
        copies.map(move |copy| Member { item: copy.item, tier: copy.tier.max(tier), score: copy.score.min(score) })
    };
    let mut groups: Vec<Vec<Member>> =
        similar.into_iter().map(|star| star.into_iter().flat_map(&mut with_copies).collect()).collect();
    groups.extend(centres.iter().filter_map(|centre| near.remove(centre)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(a: usize, b: usize, tier: DupeTier) -> Link {
        Link { a, b, tier, score: if tier == DupeTier::Near { 0.98 } else { 0.92 } }
    }

    fn items(groups: &[Vec<Member>]) -> Vec<Vec<usize>> {
        let mut sorted: Vec<Vec<usize>> = groups
            .iter()
            .map(|group| {
                let mut items: Vec<usize> = group.iter().map(|member| member.item).collect();
                items.sort_unstable();
                items
            })
            .collect();
        sorted.sort();
        sorted
    }

    #[test]
    fn a_chain_does_not_become_one_group() {
        let links: Vec<Link> = (0..5).map(|i| link(i, i + 1, DupeTier::Near)).collect();
        let groups = groups(6, &links, |item| item, &HashSet::new(), |_, _| false);
        assert_eq!(items(&groups), [vec![0, 1, 2], vec![3, 4, 5]]);
    }

    #[test]
    fn near_copies_stay_together_when_one_of_them_is_similar_to_another_picture() {
        let links = [
            link(0, 1, DupeTier::Near),
            link(2, 3, DupeTier::Near),
            link(1, 2, DupeTier::Similar),
            link(2, 4, DupeTier::Similar),
        ];
        let groups = groups(5, &links, |item| item, &HashSet::new(), |_, _| false);
        assert_eq!(items(&groups), [[0, 1, 2, 3, 4]]);
        let tier = |item: usize| groups[0].iter().find(|member| member.item == item).expect("it is there").tier;
        assert_eq!(groups[0][0].item, 2);
        assert_eq!((tier(3), tier(0), tier(4)), (DupeTier::Near, DupeTier::Similar, DupeTier::Similar));
    }

    #[test]
    fn dismissed_pairs_are_in_no_group_together() {
        let links = [link(0, 1, DupeTier::Near), link(0, 2, DupeTier::Near), link(1, 2, DupeTier::Near)];
        let together = |apart| items(&groups(3, &links, |item| item, &HashSet::from([apart]), |_, _| false));
        assert_eq!(together((1, 2)), [[0, 1]]);
        assert_eq!(together((0, 1)), [[0, 2]]);
    }

    proptest! {
        #[test]
        fn every_item_is_in_one_group_at_most_and_linked_to_its_centre(
            pairs in prop::collection::vec((0..20_usize, 0..20_usize, any::<bool>()), 0..60),
            apart in prop::collection::vec((0..20_usize, 0..20_usize), 0..10),
        ) {
            let tiers: BTreeMap<(usize, usize), bool> =
                pairs.iter().filter(|(a, b, _)| a < b).map(|(a, b, near)| ((*a, *b), *near)).collect();
            let links: Vec<Link> = tiers
                .into_iter()
                .map(|((a, b), near)| link(a, b, if near { DupeTier::Near } else { DupeTier::Similar }))
                .collect();
            let apart: HashSet<(usize, usize)> = apart.into_iter().filter(|(a, b)| a < b).collect();
            let groups = groups(20, &links, |item| item, &apart, |_, _| false);
            let mut seen = HashSet::new();
            let is_linked = |a: usize, b: usize, tier: Option<DupeTier>| {
                links.iter().any(|l| (l.a, l.b) == (a.min(b), a.max(b)) && tier.is_none_or(|tier| l.tier == tier))
            };
            for group in &groups {
                prop_assert!(group.len() > 1);
                for member in group {
                    prop_assert!(seen.insert(member.item));
                    if member.tier == DupeTier::Near {
                        prop_assert!(is_linked(member.item, group[0].item, Some(DupeTier::Near)));
                    }
                    for other in group.iter().filter(|other| other.item > member.item) {
                        prop_assert!(!apart.contains(&(member.item, other.item)));
                    }
                    // Every member is linked to another member.
                    prop_assert!(group.iter().any(|other| is_linked(member.item, other.item, None)));
                }
            }
        }
    }
}
