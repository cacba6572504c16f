import CFuse
import CLinux
import Glibc
import VirtualFS

extension FuseAdapter {
    static func addAttributes(to operations: inout fuse_lowlevel_ops) {
        operations.getattr = { FuseAdapter.getAttributes(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.readlink = { FuseAdapter.readLink(FuseRequest($0), FuseConnection.of($0).pointee, $1) }
        operations.statfs = { FuseAdapter.statistics(FuseRequest($0), FuseConnection.of($0).pointee, $1) }
    }

    private static func getAttributes(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _: FileInfo
    ) {
        let node = mount.node(node)
        do throws(FSError) {
            switch try mount.fileSystem.attributes(node) {
            case .ready(let entry): request.reply(attributesOf: entry)
            case .cold:
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    .attributes(try await fileSystem.coldAttributes(node))
                }
            }
        } catch { request.reply(error) }
    }

    private static func readLink(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t) {
        let node = mount.node(node)
        do throws(FSError) {
            let buffer = try ReplyBuffer.ofThisThread(size: Int(PATH_MAX))
            switch try mount.fileSystem.readLink(node, into: buffer) {
            case .ready(let length): request.reply(bytes: UnsafeRawBufferPointer(buffer.prefix(length)))
            case .cold:
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    .bytes(try await fileSystem.coldReadLink(node))
                }
            }
        } catch { request.reply(error) }
    }

    private static func statistics(_ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _: fuse_ino_t) {
        let statistics = mount.fileSystem.statistics()
        request.reply(statistics)
    }
}

/// Memory for one answer, kept by each thread: no allocation once it has grown.
enum ReplyBuffer {
    static func ofThisThread(size: Int) throws(FSError) -> UnsafeMutableRawBufferPointer {
        guard let start = larder_reply_buffer(size) else { throw .io }
        return UnsafeMutableRawBufferPointer(start: start, count: size)
    }

    /// To be called when a thread that answers requests ends.
    static func giveBack() { larder_reply_buffer_free() }
}

extension UnsafeMutableRawBufferPointer {
    /// The first `count` bytes, or all where a filesystem claims to have filled more than there is.
    func prefix(_ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: baseAddress, count: Swift.max(0, Swift.min(count, self.count)))
    }
}
