import CFuse
import VirtualFS

extension FuseAdapter {
    static func addExtendedAttributes(to operations: inout fuse_lowlevel_ops) {
        operations.getxattr = { raw, node, name, size in
            let name = UnsafeRawBufferPointer(cString: name)
            FuseAdapter.replyAttribute(FuseRequest(raw), FuseConnection.of(raw).pointee, size) { mount, buffer throws(FSError) in
                try mount.fileSystem.attribute(mount.node(node), name, into: buffer)
            }
        }
        operations.listxattr = { raw, node, size in
            let request = FuseRequest(raw)
            let isRoot = request.caller.uid == 0
            FuseAdapter.replyAttribute(request, FuseConnection.of(raw).pointee, size) { mount, buffer throws(FSError) in
                let node = mount.node(node)
                if isRoot { return try mount.fileSystem.attributeNames(node, into: buffer) }
                return try mount.fileSystem.publicAttributeNames(node, into: buffer)
            }
        }
    }

    /// A `size` of 0 asks for the length only.
    @inline(__always)
    private static func replyAttribute(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ size: Int,
        _ copy: (borrowing FuseConnection, UnsafeMutableRawBufferPointer) throws(FSError) -> Int
    ) {
        do throws(FSError) {
            guard size > 0 else {
                let length = try copy(mount, UnsafeMutableRawBufferPointer(start: nil, count: 0))
                return request.reply(attributeLength: length)
            }
            let buffer = try ReplyBuffer.ofThisThread(size: size)
            let length = try copy(mount, buffer)
            request.reply(bytes: UnsafeRawBufferPointer(buffer.prefix(length)))
        } catch { request.reply(error) }
    }
}

extension FileSystem {
    /// Without `trusted.*`, which a disk shows to nobody but root; for reading and changing those the kernel sees to it.
    fileprivate func publicAttributeNames(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(FSError) -> Int {
        // XATTR_LIST_MAX.
        try withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { all throws(FSError) in
            let count = try attributeNames(node, into: all)
            var kept = 0
            for name in all.prefix(count).split(separator: 0) where !name.starts(with: "trusted.".utf8) {
                let next = kept + name.count + 1
                if !buffer.isEmpty {
                    guard next <= buffer.count else { throw .range }
                    UnsafeMutableRawBufferPointer(rebasing: buffer[kept..<next - 1]).copyMemory(from: UnsafeRawBufferPointer(rebasing: name))
                    buffer[next - 1] = 0
                }
                kept = next
            }
            return kept
        }
    }
}
