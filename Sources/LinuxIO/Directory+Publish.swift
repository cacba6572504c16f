import CLinux
import Glibc

/// A finished temporary file and the name it shall have, both relative to the publishing directory.
public struct Publication: Sendable {
    public let temporary: String
    public let final: String

    public init(_ temporary: String, as final: String) {
        self.temporary = temporary
        self.final = final
    }
}

extension Directory {
    /// Publishes the finished file `temporary` under its final name: data to disk, `link()`, directory to disk, unlink.
    /// `link` never replaces, so whoever comes second finds the same content there already and succeeds (DESIGN tenet 3).
    /// Returns false for that second.
    @discardableResult
    public func publish(_ temporary: String, as final: String) throws(SystemError) -> Bool {
        try publish([Publication(temporary, as: final)]) == 1
    }

    /// Publishes many finished files with far fewer waits for the disk than one by one. Returns how many were first.
    ///
    /// A killed process needs no fsync at all: the page cache survives it, and `link` alone decides what is visible. Power
    /// loss does: a name must not outlive the bytes it promises. So no file is linked before the data of *every* file of the
    /// batch is on disk. Writeback is started on all of them before the first is waited for, so they share disk
    /// queues and journal commits. `syncfs` would be one call, but it waits for everything anybody wrote to that disk.
    @discardableResult
    public func publish(_ batch: [Publication]) throws(SystemError) -> Int {
        if batch.count > 1 {
            for item in batch { try open(item.temporary, O_RDONLY).startWriteback() }
        }
        for item in batch { try open(item.temporary, O_RDONLY).syncData() }
        var first = 0
        var changed: Set<String> = []
        for item in batch where try linkMakingParents(item.temporary, to: item.final) {
            first += 1
            changed.insert(Self.parentName(of: item.final))
        }
        for parent in changed { try open(parent, O_RDONLY | O_DIRECTORY).sync() }
        for item in batch { try remove(item.temporary) }
        return first
    }

    private func linkMakingParents(_ old: String, to new: String) throws(SystemError) -> Bool {
        do throws(SystemError) {
            return try link(old, to: new)
        } catch {
            guard error.code == ENOENT, new.contains("/") else { throw error }
            try makeDirectories(Self.parentName(of: new))
            return try link(old, to: new)
        }
    }

    /// Replaces `final` by the finished file `temporary` in one step: readers see the old content or the new.
    public func replace(_ final: String, by temporary: String) throws(SystemError) {
        try open(temporary, O_RDONLY).sync()
        try rename(temporary, to: final)
        try syncParent(of: final)
    }
}
