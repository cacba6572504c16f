/// How much the store may keep of what it can fetch again. What is in use, leased or pinned stays whatever the limits are, and so
/// do caches and the documents of known images; caches are not counted.
public struct StoreLimits: Sendable, Equatable {
    /// A size in bytes, or a share of the whole disk the store is on.
    public enum Amount: Sendable, Equatable {
        case bytes(UInt64)
        /// 0 to 100.
        case percent(Double)

        /// `20g`, `512 MiB`, `15%`. nil for anything else.
        public init?(_ text: String) {
            if text.hasSuffix("%") {
                guard let share = Double(text.dropLast()), (0...100).contains(share) else { return nil }
                self = .percent(share)
            } else {
                guard let bytes = Quantity.bytes(text) else { return nil }
                self = .bytes(bytes)
            }
        }

        /// - Parameter size: of the disk, in bytes.
        public func bytes(ofDisk size: UInt64) -> UInt64 {
            switch self {
            case .bytes(let bytes): bytes
            case .percent(let share): UInt64(Double(size) / 100 * share)
            }
        }
    }

    /// The most that all of it may take.
    public var maxSize: Amount?
    /// What shall stay free on the store's disk, whoever fills it.
    public var minFree: Amount?
    /// The most that compressed blobs may take.
    public var maxBlobs: Amount?
    /// The most that unpacked content may take: spans and large files.
    public var maxContent: Amount?
    /// As much is kept even when less than `minFree` is free.
    public var reserved: Amount?

    public init(maxSize: Amount? = nil, minFree: Amount? = nil, maxBlobs: Amount? = nil, maxContent: Amount? = nil, reserved: Amount? = nil) {
        self.maxSize = maxSize
        self.minFree = minFree
        self.maxBlobs = maxBlobs
        self.maxContent = maxContent
        self.reserved = reserved
    }

    public var isEmpty: Bool { maxSize == nil && minFree == nil && maxBlobs == nil && maxContent == nil }
}

/// What has to go, in bytes of disk. Where several say something, all of them must be met.
struct Excess: Equatable {
    var total: UInt64 = 0
    var blobs: UInt64 = 0
    var content: UInt64 = 0

    var isNone: Bool { total == 0 && blobs == 0 && content == 0 }

    /// Whether the going of something of this kind would bring the store nearer to its limits.
    func wants(_ kind: StoredKind) -> Bool { total > 0 || (kind == .blob && blobs > 0) || (kind == .content && content > 0) }

    mutating func take(_ bytes: UInt64, of kind: StoredKind) {
        total -= min(total, bytes)
        if kind == .blob { blobs -= min(blobs, bytes) }
        if kind == .content { content -= min(content, bytes) }
    }
}

extension StoreLimits {
    /// What is above the limits.
    /// - Parameter slack: of what a limit allows, this share is enough: once something has to go, a tenth more goes, so that
    ///   the next bytes that come do not begin it all again.
    func excess(_ totals: StoreTotals, diskSize: UInt64, free: UInt64, slack: Double = 1) -> Excess {
        func over(_ used: UInt64, _ limit: Amount?) -> UInt64 {
            guard let limit = limit?.bytes(ofDisk: diskSize) else { return 0 }
            guard used > limit else { return 0 }
            return used - UInt64(Double(limit) * slack)
        }
        var excess = Excess(blobs: over(totals.blobs, maxBlobs), content: over(totals.content, maxContent))
        excess.total = over(totals.all, maxSize)
        if let minFree = minFree?.bytes(ofDisk: diskSize), free < minFree {
            var missing = UInt64(Double(minFree) * (2 - slack)) - free
            if let reserved = reserved?.bytes(ofDisk: diskSize) { missing = min(missing, totals.all > reserved ? totals.all - reserved : 0) }
            excess.total = max(excess.total, missing)
        }
        return excess
    }
}
