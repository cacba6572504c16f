import Glibc
import OCI

/// What a person wants gone.
public struct PruneRequest: Sendable {
    /// What a filter can ask for, besides `until`.
    ///
    /// `id` the layer (or snapshot index, or blob), `type` blob, content, index or garbage, `image` references joined by `;`,
    /// `description`, `shared` by several images, `private` to one, `complete` and `sealed` layers, `immutable` always.
    public static let fields = ["complete", "description", "id", "image", "immutable", "private", "sealed", "shared", "type"]

    /// Any of them may pass; all where there is none.
    public var filters: [FilterExpression] = []
    /// Also what known images need, and indexes.
    public var all = false
    /// What was used within this time stays.
    public var keep: Duration?
    /// Down to these; empty: whatever the rest of the request chooses.
    public var limits = StoreLimits()

    public init() {}
}

extension Store {
    /// Removes what a request chooses, in the order of `EvictionReason`.
    ///
    /// Without filters and `all` that is what no known image needs, and then, with limits, what was used longest ago until
    /// they are met. With them it is what they choose: until the limits are met, or without limits all of it. Never what is open,
    /// pinned or leased.
    /// - Parameter dryRun: only say what would go.
    public func prune(_ request: PruneRequest, dryRun: Bool) throws(StoreError) -> EvictionReport {
        if dryRun { return try pruneNow(request, dryRun: true) }
        try requireWritable()
        return try withLock(StoreLayout.evictionLock, in: root) { () throws(StoreError) in try pruneNow(request, dryRun: false) }
    }

    private func pruneNow(_ request: PruneRequest, dryRun: Bool) throws(StoreError) -> EvictionReport {
        let contents = try contents()
        let time = Self.nanoseconds
        let chosen = EvictionPlan(contents, now: time).candidates.filter { candidate in
            let idle = Duration.nanoseconds(max(0, time &- candidate.lastUse))
            if let keep = request.keep, idle < keep { return false }
            // An index of a known image is small, and takes the whole layer to make again.
            if !request.all && candidate.reason == .index { return false }
            return request.filters.isEmpty || request.filters.contains { $0.accepts(idle: idle) { contents.value(of: $0, candidate) } }
        }
        let excess = request.limits.isEmpty ? nil : excess(request.limits, contents.totals, slack: 1)
        if request.all || !request.filters.isEmpty {
            return try perform([(chosen, excess)], contents, dryRun: dryRun)
        }
        let isUnneeded = { (candidate: EvictionCandidate) in candidate.reason == .unusable || candidate.reason == .unneeded }
        return try perform([(chosen.filter(isUnneeded), nil), (chosen.filter { !isUnneeded($0) }, excess ?? Excess())], contents, dryRun: dryRun)
    }
}

extension StoreContents {
    /// What a field of a filter has to say of a candidate; nil where it is absent.
    func value(of field: String, _ candidate: EvictionCandidate) -> String? {
        func flag(_ value: Bool) -> String? { value ? "true" : nil }
        let layer = candidate.layer.flatMap { layers[$0] }
        return switch field {
        case "id": candidate.layer.map { "\($0)" } ?? candidate.path
        case "type": candidate.kind.rawValue
        case "image": candidate.images.compactMap { images[$0].reference?.description }.joined(separator: ";")
        case "description": "\(candidate.kind.rawValue)" + (candidate.layer.map { " of layer \($0)" } ?? " \(candidate.path)")
        case "shared": flag(candidate.images.count > 1)
        case "private": flag(candidate.images.count == 1)
        case "complete": flag(layer?.isComplete ?? false)
        case "sealed": flag(layer?.isSealed ?? false)
        case "immutable": "true"
        default: nil
        }
    }
}
