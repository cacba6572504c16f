import Archive

/// Where decompression of a span begins: a record of the section `starts`. 16 bytes.
public struct SpanStart: Sendable, Equatable {
    /// In the section `windows`.
    var windowOffset: UInt64
    /// Bytes of the window as packed; 0 where nothing before the start is needed.
    public internal(set) var windowLength: UInt32
    /// Bits of the source's first byte that belong to the span, 1 to 7; 0 where the byte belongs to it whole.
    public internal(set) var bits: UInt8
    var kindByte: UInt8
    var reserved: UInt16 = 0

    public enum Kind: UInt8, Sendable {
        /// Between two blocks of a gzip member, whose header lies before.
        case block = 1
        /// At the first byte of a gzip member, a zstd frame or a plain stretch.
        case member = 2
    }

    init(windowOffset: UInt64, windowLength: UInt32, bits: UInt8, kind: Kind) {
        self.windowOffset = windowOffset
        self.windowLength = windowLength
        self.bits = bits
        kindByte = kind.rawValue
    }

    /// Always one of the two in a validated index.
    public var kind: Kind { Kind(rawValue: kindByte) ?? .member }
}

/// A span's start while the index is made: what its window holds, not where it lies.
public struct SpanEntry: Sendable, Equatable {
    public var kind: SpanStart.Kind
    /// See `SpanStart.bits`.
    public var bits: UInt8
    /// As `PackedWindow.pack` made it; empty where nothing before the start is needed.
    public var window: [UInt8]

    public init(kind: SpanStart.Kind, bits: UInt8 = 0, window: [UInt8] = []) {
        self.kind = kind
        self.bits = bits
        self.window = window
    }

    public init(_ checkpoint: Checkpoint) {
        self.init(kind: checkpoint.startsMember ? .member : .block, bits: checkpoint.bits, window: checkpoint.window)
    }
}

extension TreeView {
    /// - Precondition: `hasStarts`, and `0 <= span < spanCount`.
    public func start(_ span: Int) -> SpanStart {
        assert(hasStarts && span >= 0 && span < spanCount)
        return starts.loadUnaligned(fromByteOffset: span * MemoryLayout<SpanStart>.stride, as: SpanStart.self)
    }

    /// The packed window of a start of this index, in the mapped file: `PackedWindow.unpack` it. Valid as long as the index.
    public func window(of start: SpanStart) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: windows + Int(start.windowOffset), count: Int(start.windowLength))
    }
}

extension TreeTables {
    /// Adds the start of the next span. Without one the index has none at all.
    mutating func append(_ entry: SpanEntry?, limits: TreeLimits) throws(TreeIndexError) {
        guard starts.count == spans.count else { return }
        guard let entry else {
            starts = []
            windows = []
            return
        }
        guard entry.window.count <= IndexFormat.windowLimit, entry.bits < 8, entry.kind == .block || entry.bits == 0 && entry.window.isEmpty
        else { throw .badSpan("span \(spans.count) starts with \(entry.bits) bits and a window of \(entry.window.count) bytes") }
        guard entry.window.count <= limits.windowBytes - windows.count else { throw .tooMany("bytes of windows", limit: limits.windowBytes) }
        starts.append(SpanStart(
            windowOffset: UInt64(windows.count), windowLength: UInt32(entry.window.count), bits: entry.bits, kind: entry.kind))
        windows += entry.window
    }
}

extension IndexValidator {
    /// Every span has a start or none has; windows lie one after the other; sources lie in the blob, in order.
    func checkStarts() throws(TreeIndexError) {
        guard view.hasStarts else {
            guard count(.windows) == 0 else { throw .damaged("windows of no spans") }
            return
        }
        guard !isSnapshot, Int(count(.starts)) == view.spanCount, view.chunkCount == 0 else {
            throw .damaged("\(count(.starts)) starts of \(view.spanCount) spans and \(view.chunkCount) chunks")
        }
        var window: UInt64 = 0
        var source: (offset: UInt64, end: UInt64) = (0, 0)
        for number in 0..<view.spanCount {
            let start = view.start(number)
            let span = view.span(number)
            guard let kind = SpanStart.Kind(rawValue: start.kindByte), start.bits < 8, start.reserved == 0,
                kind == .block || start.bits == 0 && start.windowLength == 0
            else { throw .damaged("span \(number) has a start that cannot be") }
            guard start.windowOffset == window, start.windowLength <= IndexFormat.windowLimit,
                UInt64(start.windowLength) <= count(.windows) - window
            else { throw .damaged("the window of span \(number) is out of place") }
            window += UInt64(start.windowLength)
            guard span.sourceLength > 0, span.sourceOffset >= source.offset, span.sourceOffset <= header.blobSize,
                span.sourceLength <= header.blobSize - span.sourceOffset, span.sourceOffset + span.sourceLength >= source.end
            else { throw .damaged("the source of span \(number) is out of order or beyond the blob") }
            source = (span.sourceOffset, span.sourceOffset + span.sourceLength)
        }
        guard window == count(.windows) else { throw .damaged("windows end at \(window), their section at \(count(.windows))") }
    }
}
