import CFuse
import Glibc
import VirtualFS

extension FuseAdapter {
    static func addLookup(to operations: inout fuse_lowlevel_ops) {
        operations.lookup = { FuseAdapter.lookup(FuseRequest($0), $1, $2) }
        operations.forget = { FuseAdapter.forget(FuseRequest($0), $1, $2) }
        operations.forget_multi = { FuseAdapter.forgetMany(FuseRequest($0), $1, $2) }
    }

    private static func lookup(_ request: consuming FuseRequest, _ parent: fuse_ino_t, _ name: UnsafePointer<CChar>?) {
        let parent = request.node(parent)
        let name = UnsafeRawBufferPointer(cString: name)
        do throws(FSError) {
            switch try request.fileSystem.lookup(parent, name) {
            case .ready(let entry): request.reply(entry: entry)
            case .cold:
                let name = [UInt8](name)
                request.replyLater { fileSystem async throws(FSError) in .entry(try await fileSystem.coldLookup(parent, name)) }
            }
        } catch { request.reply(error) }
    }

    private static func forget(_ request: consuming FuseRequest, _ node: fuse_ino_t, _ count: UInt64) {
        request.fileSystem.forget(request.node(node), count: count)
        request.end()
    }

    private static func forgetMany(_ request: consuming FuseRequest, _ count: Int, _ list: UnsafeMutablePointer<fuse_forget_data>?) {
        for one in UnsafeBufferPointer(start: list, count: count) {
            request.fileSystem.forget(request.node(one.ino), count: one.nlookup)
        }
        request.end()
    }
}

extension FuseRequest {
    /// Gives the request to the cold side.
    consuming func replyLater(_ compute: @escaping @Sendable (any FileSystem) async throws(FSError) -> FuseReply) {
        connection.pointee.cold.answer(self, with: compute)
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes before the NUL.
    init(cString: UnsafePointer<CChar>?) {
        self.init(start: cString, count: cString.map { strlen($0) } ?? 0)
    }
}
