import CFuse
import CLinux
import Glibc
import VirtualFS

/// One operation on the filesystem, whichever thread it comes to run on. The buffers are those given to `change`, or copies.
typealias FuseOperation =
    @Sendable (_ fileSystem: any FileSystem, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) throws(FSError) -> FuseReply

extension FuseRequest {
    /// Who asks.
    var caller: Caller {
        let context = context
        return Caller(uid: context.pointee.uid, gid: context.pointee.gid, process: context.pointee.pid)
    }

    /// Does what changes `node`, once this process has the right to: at once where it has, else after a wait on the cold side
    /// which a signal ends. `isLong` work is left to a worker.
    consuming func change(
        _ node: NodeID, on mount: borrowing FuseConnection, _ first: UnsafeRawBufferPointer = .none,
        _ second: UnsafeRawBufferPointer = .none, isLong: Bool = false, _ operation: @escaping FuseOperation
    ) {
        do throws(FSError) {
            switch try mount.fileSystem.admitChange(node) {
            case .ready:
                if isLong { return work(on: mount, first, second, operation) }
                let answer = try operation(mount.fileSystem, first, second)
                reply(answer)
            case .cold:
                let (first, second, workers) = ([UInt8](first), [UInt8](second), mount.workers)
                replyLater(on: mount) { fileSystem async throws(FSError) in
                    try await fileSystem.coldAdmitChange(node)
                    return try await workers.run { () throws(FSError) in try perform(operation, on: fileSystem, first, second) }
                }
            }
        } catch { reply(error) }
    }

    /// Leaves what may wait long for the disk to a worker.
    consuming func work(
        on mount: borrowing FuseConnection, _ first: UnsafeRawBufferPointer = .none, _ second: UnsafeRawBufferPointer = .none,
        _ operation: @escaping FuseOperation
    ) {
        let (first, second, fileSystem) = ([UInt8](first), [UInt8](second), mount.fileSystem)
        let moved = move()
        mount.workers.submit {
            let request = FuseRequest(moved)
            do throws(FSError) {
                let answer = try perform(operation, on: fileSystem, first, second)
                request.reply(answer)
            } catch { request.reply(error) }
        }
    }
}

/// `operation` on copies of what the request held.
private func perform(
    _ operation: FuseOperation, on fileSystem: any FileSystem, _ first: [UInt8], _ second: [UInt8]
) throws(FSError) -> FuseReply {
    let result = first.withUnsafeBytes { first in
        second.withUnsafeBytes { second in
            Result { () throws(FSError) in try operation(fileSystem, first, second) }
        }
    }
    return try result.get()
}

extension UnsafeRawBufferPointer {
    static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
}
