/// The part of the SSH agent protocol (draft-miller-ssh-agent) that decides what a command may ask of the user's agent: which keys
/// there are, and a signature. It may not add, remove, lock or extend.
public enum AgentProtocol {
    /// OpenSSH's own limit, in bytes, for the body of a message.
    public static let messageLimit = 256 * 1024

    /// SSH_AGENT_FAILURE, with its length.
    public static let refusal: [UInt8] = [0, 0, 0, 1, 5]

    private static let requestIdentities: UInt8 = 11
    private static let signRequest: UInt8 = 13

    /// The length of the body that a header of four bytes announces; nil where no message can be like that.
    public static func bodyLength(_ header: [UInt8]) -> Int? {
        let length = header.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        return header.count == 4 && (1...messageLimit).contains(length) ? length : nil
    }

    /// Whether a request with this body reaches the agent.
    public static func isAllowed(_ body: [UInt8]) -> Bool { body.first == requestIdentities || body.first == signRequest }
}
