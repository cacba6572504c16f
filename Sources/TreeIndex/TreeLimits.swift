/// What a tree may grow to. Archives are untrusted: without limits a small one could ask for any amount of memory.
public struct TreeLimits: Sendable {
    /// Nodes, also those made for missing parents. 96 bytes each, and about 32 more while building.
    public var nodes = 2_097_152
    /// Bytes of names and link targets, also of members that were replaced later. Below 4 GiB.
    public var heapBytes = 512 << 20
    /// Bytes of extended attributes; equal sets count once. Below 4 GiB.
    public var attributeBytes = 256 << 20
    /// Data runs of all sparse files. 24 bytes each.
    public var runs = 4_194_304
    /// Spans, chunks, and objects: this many of each.
    public var contentRecords = 4_194_304
    /// Packed bytes of all windows: some 3 KiB for each 2 MiB of a layer.
    public var windowBytes = 1 << 30
    /// Components of a path; at most 1024.
    public var depth = 1024
    /// Layers of a snapshot.
    public var layers = 4096

    public init() {}
}
