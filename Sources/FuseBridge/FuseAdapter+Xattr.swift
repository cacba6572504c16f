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
            FuseAdapter.replyAttribute(FuseRequest(raw), FuseConnection.of(raw).pointee, size) { mount, buffer throws(FSError) in
                try mount.fileSystem.attributeNames(mount.node(node), into: buffer)
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
