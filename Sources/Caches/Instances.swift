import Glibc
import LinuxIO

/// The instances of a cache, by number.
enum Instances {
    /// In ascending order; 0 is always there.
    static func numbers(in directory: Directory) throws(CacheError) -> [Int] {
        try inCache { () throws(SystemError) in
            try directory.directory(CacheLayout.instances).entries().compactMap { Int($0.text) }.filter { $0 >= 0 }.sorted()
        }
    }

    /// When it was last acquired or released.
    static func lastUse(of number: Int, in directory: Directory) throws(CacheError) -> Moment? {
        try inCache { () throws(SystemError) in try directory.statusIfPresent(CacheLayout.lock(number)).map { Moment($0.st_mtim) } }
    }

    /// The further instances, most recently used first.
    static func idleFirst(in directory: Directory) throws(CacheError) -> [Int] {
        var used: [(number: Int, at: Moment)] = []
        for number in try numbers(in: directory) where number != CacheLayout.main {
            used.append((number, try lastUse(of: number, in: directory) ?? Moment(milliseconds: 0)))
        }
        return used.sorted { ($1.at, $0.number) < ($0.at, $1.number) }.map(\.number)
    }

    /// Makes a new one, held exclusively. Only with the book in hand.
    static func make(in place: CachePlace, _ settings: CacheSettings, _ book: borrowing CacheBook) throws(CacheError) -> (number: Int, lock: LockFile) {
        let number = (try numbers(in: place.directory).last ?? CacheLayout.main) + 1
        guard number <= CacheLayout.instanceLimit else {
            throw .damaged(path: place.directory.path, reason: "it has \(number) instances; remove some with `larder cache prune`")
        }
        let lock = try LockFile(CacheLayout.lock(number), in: place.directory)
        guard try lock.take(.exclusive) else { throw .damaged(path: lock.path, reason: "somebody holds an instance that is not there") }
        let aside = "\(CacheLayout.instances)/.new"
        try inCache { () throws(SystemError) in
            // Left by one who died here.
            try place.directory.removeTree(aside)
            try InstanceRoot.make(aside, in: place.directory, settings)
            try place.directory.rename(aside, to: CacheLayout.instance(number))
            try place.directory.syncParent(of: aside)
        }
        return (number, lock)
    }
}

/// What there is to say about one instance.
public struct InstanceStatus: Sendable, Hashable {
    /// 0 is main.
    public let number: Int
    public let path: String
    public let lastUse: Moment?
    public let unclean: UncleanMark?
    public let holders: [LeaseRecord]
}

extension CacheLibrary {
    /// Main first.
    public func instances(of name: CacheName) throws(CacheError) -> [InstanceStatus] {
        let place = try place(of: name)
        let holders = try Holders(place.directory).living()
        var found: [InstanceStatus] = []
        for number in try Instances.numbers(in: place.directory) {
            found.append(
                InstanceStatus(
                    number: number, path: path(of: name) + "/" + CacheLayout.instance(number),
                    lastUse: try Instances.lastUse(of: number, in: place.directory),
                    unclean: try UncleanMark.read(of: number, in: place.directory), holders: holders.filter { $0.instance == number }))
        }
        return found
    }

    /// When any instance was last acquired or released; nil for never.
    public func lastUse(of name: CacheName) throws(CacheError) -> Moment? {
        let place = try place(of: name)
        var last: Moment?
        for number in try Instances.numbers(in: place.directory) {
            if let use = try Instances.lastUse(of: number, in: place.directory) { last = max(last ?? use, use) }
        }
        return last
    }

    /// The directory of an instance, to look at.
    public func directory(of name: CacheName, instance: Int) throws(CacheError) -> Directory {
        let place = try place(of: name)
        return try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.instance(instance)) }
    }
}
