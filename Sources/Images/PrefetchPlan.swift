import OCI
import TreeIndex

/// A profile made into fetches: which spans of which layer, in the order in which they will be wanted.
///
/// Requests cost more than bytes, and what is read one after the other is often not neighbours in the blob. So the order of the
/// profile holds between batches, and inside of one the spans are in the order of the blob, where neighbours join into one
/// request. Batches grow, and take along what will be wanted later and lies right behind: the first reads wait for little, the last
/// ones for few requests.
struct PrefetchPlan: Sendable, Equatable {
    struct Batch: Sendable, Equatable {
        /// Position in the layers that the plan was made for.
        var slot: Int
        /// Ascending.
        var spans: [Int]
    }

    /// Compressed bytes of the first window, and the most of one. A window is one batch for each of its layers.
    static let firstWindow: UInt64 = 1 << 20
    static let largestWindow: UInt64 = 16 << 20

    private(set) var batches: [Batch] = []
    /// Spans in all batches, and their bytes in the blobs and of content.
    private(set) var spanCount = 0
    private(set) var sourceBytes: UInt64 = 0
    private(set) var contentBytes: UInt64 = 0

    /// - Parameters:
    ///   - room: bytes of content that may be fetched; the plan ends where they are used up.
    ///   - views: the layers of an image, lowest first, as `AccessProfile.Layer` has them; nil for one that cannot be fetched in parts.
    ///   - neighbours: bytes in the blob that a span takes along of those right behind it that are wanted later: as many as come in
    ///     the time that asking for them would take. The first window waits for none.
    ///   - isWanted: whether a span of a layer is still missing.
    init(
        _ profile: AccessProfile, for views: [(layer: AccessProfile.Layer, view: TreeView)?], room: UInt64 = .max, neighbours: UInt64 = 0,
        isWanted: (_ slot: Int, _ span: Int) -> Bool
    ) {
        let wanted = Self.wanted(profile, views, isWanted)
        var left: [Set<Int>] = Array(repeating: [], count: views.count)
        for (slot, number) in wanted { left[slot].insert(number) }
        var window: [Batch] = []
        var windowBytes: UInt64 = 0
        var windowLimit = Self.firstWindow
        func close() {
            for var batch in window {
                batch.spans.sort()
                batches.append(batch)
            }
            (window, windowBytes, windowLimit) = ([], 0, min(windowLimit * 2, Self.largestWindow))
        }
        spans: for (slot, first) in wanted {
            guard let view = views[slot]?.view else { continue }
            let limit = windowLimit == Self.firstWindow ? 0 : neighbours
            var (number, along) = (first, UInt64(0))
            while left[slot].contains(number) {
                let span = view.span(number)
                if number > first { along += span.sourceLength }
                guard along <= limit else { break }
                guard contentBytes + span.length <= room else { break spans }
                left[slot].remove(number)
                if let index = window.firstIndex(where: { $0.slot == slot }) { window[index].spans.append(number) } else { window.append(Batch(slot: slot, spans: [number])) }
                spanCount += 1
                sourceBytes += span.sourceLength
                contentBytes += span.length
                windowBytes += span.sourceLength
                number += 1
            }
            if windowBytes >= windowLimit { close() }
        }
        close()
    }

    /// Each missing span that the profile speaks of, in its order.
    private static func wanted(
        _ profile: AccessProfile, _ views: [(layer: AccessProfile.Layer, view: TreeView)?], _ isWanted: (_ slot: Int, _ span: Int) -> Bool
    ) -> [(slot: Int, number: Int)] {
        // A profile of another cut of the same content is right; of other content it is not.
        let slots = profile.layers.map { layer in views.firstIndex { $0?.layer.hasContent(of: layer) ?? false } }
        var seen: [Set<Int>] = Array(repeating: [], count: views.count)
        var wanted: [(slot: Int, number: Int)] = []
        for touch in profile.touches {
            guard let slot = slots[touch.layer], let view = views[slot]?.view else { continue }
            for number in view.spanNumbers(in: touch.offset..<touch.offset + touch.length) where seen[slot].insert(number).inserted && isWanted(slot, number) {
                wanted.append((slot, number))
            }
        }
        return wanted
    }
}
