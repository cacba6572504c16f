import VirtualFS

extension FuseConnection {
    /// Counts an open, and says how; `release` takes it back. The kernel opens the backing file with the caller's flags and our rights;
    /// set-id bits and file capabilities it has taken off before a write, by SETATTR and REMOVEXATTR.
    func open(_ node: NodeID, _ file: OpenedFile) -> OpenFiles.Way {
        guard file.caching != .direct, handshake.hasPassthrough else { return .pages(hold: true) }
        return openFiles.open(node, stays: file.stays) { file.complete ? try? fileSystem.withBacking(node, $0) : nil }
    }

    /// Counts an open for reading of a file that is remembered as it was read before. nil where it is not.
    func reopen(_ node: NodeID) throws(FSError) -> (file: OpenedFile, way: OpenFiles.Way)? {
        guard handshake.hasPassthrough, let way = openFiles.reopen(node) else { return nil }
        do throws(FSError) {
            if let file = try fileSystem.reopen(node, isBacked: way.isBelow) { return (file, way) }
        } catch {
            openFiles.close(node)
            throw error
        }
        openFiles.close(node)
        return nil
    }

    func release(_ node: NodeID, handle: UInt64) {
        if handshake.hasPassthrough { openFiles.close(node) }
        fileSystem.release(node, handle: handle)
    }

    func forget(_ node: NodeID, count: UInt64) {
        if handshake.hasPassthrough { openFiles.forget(node) }
        fileSystem.forget(node, count: count)
    }
}
