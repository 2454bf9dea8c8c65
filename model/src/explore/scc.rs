//! Strongly connected components (Tarjan 1972), without recursion.

/// The component of each node; components are numbered so that an edge never leads to a higher number than its own.
#[derive(Debug)]
pub(super) struct Components {
    /// The component of each node, `u32::MAX` of a node that was left out.
    pub(super) of: Vec<u32>,
    /// How many there are.
    pub(super) count: u32,
}

const UNSEEN: u32 = u32::MAX;

/// The components of the subgraph of the nodes that `keep` and the edges that `successors` gives: `successors(node, n)`
/// is the target of the n-th edge, `Some(None)` for one that is left out, `None` behind the last.
pub(super) fn components(
    nodes: u32,
    keep: impl Fn(u32) -> bool,
    successors: impl Fn(u32, usize) -> Option<Option<u32>>,
) -> Components {
    let mut index = vec![UNSEEN; nodes as usize];
    let mut low = vec![UNSEEN; nodes as usize];
    let mut of = vec![UNSEEN; nodes as usize];
    let (mut clock, mut count) = (0, 0);
    let mut stack: Vec<u32> = Vec::new();
    let mut work: Vec<(u32, usize)> = Vec::new();
    for root in (0..nodes).filter(|node| keep(*node)) {
        if index[root as usize] != UNSEEN {
            continue;
        }
        work.push((root, 0));
        while let Some((node, edge)) = work.pop() {
            let at = node as usize;
            if edge == 0 {
                index[at] = clock;
                low[at] = clock;
                clock += 1;
                stack.push(node);
            }
            let mut edge = edge;
            let mut descended = false;
            while let Some(target) = successors(node, edge) {
                edge += 1;
                let Some(target) = target.filter(|target| keep(*target)) else { continue };
                let to = target as usize;
                if index[to] == UNSEEN {
                    work.push((node, edge));
                    work.push((target, 0));
                    descended = true;
                    break;
                }
                if of[to] == UNSEEN {
                    low[at] = low[at].min(index[to]);
                }
            }
            if descended {
                continue;
            }
            if low[at] == index[at] {
                while let Some(member) = stack.pop() {
                    of[member as usize] = count;
                    if member == node {
                        break;
                    }
                }
                count += 1;
            }
            if let Some((parent, _)) = work.last() {
                low[*parent as usize] = low[*parent as usize].min(low[at]);
            }
        }
    }
    Components { of, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(edges: &[&[u32]]) -> (Vec<u32>, u32) {
        let nodes = u32::try_from(edges.len()).unwrap();
        let found = components(nodes, |_| true, |node, n| edges[node as usize].get(n).map(|target| Some(*target)));
        (found.of, found.count)
    }

    #[test]
    fn components_are_found_and_numbered_against_the_edges() {
        assert_eq!(of(&[&[1], &[2], &[0, 3], &[3]]), (vec![1, 1, 1, 0], 2));
        assert_eq!(of(&[&[1], &[2], &[]]), (vec![2, 1, 0], 3));
        assert_eq!(of(&[&[], &[0, 2], &[1]]), (vec![0, 1, 1], 2));
        // Two ways into one component, the second after the first was left.
        assert_eq!(of(&[&[1, 2], &[3], &[3], &[1]]), (vec![2, 0, 1, 0], 3));
    }
}
