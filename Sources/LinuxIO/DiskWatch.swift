import CLinux

/// Tells whether the calling thread has read from a disk since this was made (getrusage(2)): what was in memory takes none.
public struct DiskWatch {
    private let before = larder_blocks_read()

    public init() {}

    public var hasWaited: Bool { larder_blocks_read() != before }
}
