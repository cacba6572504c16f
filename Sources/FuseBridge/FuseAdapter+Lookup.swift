import CFuse
import Glibc
import VirtualFS

extension FuseAdapter {
    static func addLookup(to operations: inout fuse_lowlevel_ops) {
        operations.lookup = { FuseAdapter.lookup(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.forget = { FuseAdapter.forget(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
        operations.forget_multi = { FuseAdapter.forgetMany(FuseRequest($0), FuseConnection.of($0).pointee, $1, $2) }
    }

    private static func lookup(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ parent: fuse_ino_t, _ name: UnsafePointer<CChar>?
    ) {
        let parent = mount.node(parent)
        let name = UnsafeRawBufferPointer(cString: name)
        do throws(FSError) {
            switch try mount.fileSystem.lookup(parent, name) {
            case .ready(let entry): request.reply(entry: entry)
            case .cold:
                let name = [UInt8](name)
                request.replyLater(on: mount) { fileSystem async throws(FSError) in
                    .entry(try await fileSystem.coldLookup(parent, name))
                }
            }
        } catch { request.reply(error) }
    }

    private static func forget(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ node: fuse_ino_t, _ count: UInt64
    ) {
        mount.forget(mount.node(node), count: count)
        request.end()
    }

    private static func forgetMany(
        _ request: consuming FuseRequest, _ mount: borrowing FuseConnection, _ count: Int, _ list: UnsafeMutablePointer<fuse_forget_data>?
    ) {
        for one in UnsafeBufferPointer(start: list, count: count) {
            mount.forget(mount.node(one.ino), count: one.nlookup)
        }
        request.end()
    }
}

extension FuseRequest {
    /// Gives the request to the cold side.
    consuming func replyLater(
        on mount: borrowing FuseConnection, _ compute: @escaping @Sendable (any FileSystem) async throws(FSError) -> FuseReply
    ) {
        mount.cold.answer(self, on: mount.fileSystem, isWatched: mount.handshake.hasRings, with: compute)
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes before the NUL.
    init(cString: UnsafePointer<CChar>?) {
        self.init(start: cString, count: cString.map { strlen($0) } ?? 0)
    }
}
